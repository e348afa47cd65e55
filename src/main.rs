//! The program `readhook`; everything is in the library.

fn main() -> std::process::ExitCode {
    readhook::cli::main()
}
