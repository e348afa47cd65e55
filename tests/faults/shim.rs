//! The disk that fails on command: builds `tests/shim/disk.c`, and changes its rules while the program runs.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::program::{ENOUGH, pause, repository};

const BYTES: u64 = 8192;
const RULES_AT: u64 = 64;

/// A folder of which every write and sync goes through the library.
pub(crate) struct Disk {
    /// The folder, without symbolic links.
    pub(crate) root: PathBuf,
    control_file: PathBuf,
    control: File,
    generation: AtomicU64,
    /// Every write and sync, in their order.
    pub(crate) log: PathBuf,
}

impl Disk {
    /// A new folder `data` in `dir`; control and log lie beside it.
    pub(crate) fn new(dir: &Path) -> Self {
        let dir = dir.canonicalize().unwrap();
        let root = dir.join("data");
        std::fs::create_dir_all(&root).unwrap();
        let control_file = dir.join("control");
        let control = File::options().read(true).write(true).create(true).truncate(true).open(&control_file);
        let control = control.unwrap();
        control.set_len(BYTES).unwrap();
        Self { root, control_file, control, generation: AtomicU64::new(0), log: dir.join("log") }
    }

    /// What a process needs in its environment.
    pub(crate) fn environment(&self) -> [(&'static str, PathBuf); 4] {
        [
            ("LD_PRELOAD", library().to_owned()),
            ("FAULT_ROOT", self.root.clone()),
            ("FAULT_CONTROL", self.control_file.clone()),
            ("FAULT_LOG", self.log.clone()),
        ]
    }

    /// Rules for the process that is started next.
    pub(crate) fn prepare(&self, rules: &str) {
        assert!(rules.len() as u64 + 1 < BYTES - RULES_AT);
        let mut text = rules.as_bytes().to_owned();
        text.push(0);
        self.control.write_all_at(&text, RULES_AT).unwrap();
        let generation = self.generation.fetch_add(1, Ordering::Relaxed) + 1;
        self.control.write_all_at(&generation.to_ne_bytes(), 0).unwrap();
    }

    /// New rules for the running process. Returns when they are in force, or when the process has ended.
    pub(crate) fn set(&self, rules: &str) {
        self.prepare(rules);
        let begun = Instant::now();
        while self.number(8) != self.generation.load(Ordering::Relaxed)
            && begun.elapsed() < Duration::from_secs(5)
        {
            pause();
        }
    }

    /// How often a rule has applied, since the disk was made.
    pub(crate) fn hits(&self) -> u64 {
        self.number(16)
    }

    /// Waits until a rule has applied more often than `before`; says whether it has.
    pub(crate) fn hit(&self, before: u64) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < ENOUGH {
            if self.hits() > before {
                return true;
            }
            pause();
        }
        false
    }

    /// How long the log is: whatever was answered before is in this much of it.
    pub(crate) fn position(&self) -> u64 {
        std::fs::metadata(&self.log).map_or(0, |log| log.len())
    }

    fn number(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, at).unwrap();
        u64::from_ne_bytes(bytes)
    }
}

/// The library, built once for each version of its source.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = repository("tests/shim/disk.c");
        let digest = hex::encode(Sha256::digest(std::fs::read(&source).unwrap()));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let library = folder.join(format!("disk-{}.so", digest.get(..16).unwrap()));
        if !library.exists() {
            let part = folder.join(format!("disk-{}.part", std::process::id()));
            let mut cc = Command::new("cc");
            cc.args(["-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]).arg(&part).arg(&source);
            let built = cc.arg("-lpthread").output().expect("a C compiler builds the library");
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
            std::fs::rename(&part, &library).unwrap();
        }
        library
    })
}
