//! The program `readhook`; everything is in the library.

/// Receipts are allocated by the handlers' threads and freed by the journal's; glibc's allocator takes a lock for
/// that, and a tenth of the time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    readhook::cli::main()
}
