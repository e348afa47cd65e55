//! A small disk of a test's own: an image with ext4, mounted through a loop device in a mount namespace of
//! the process that has its journal there. The mount is gone when that process is, however it ends; nobody
//! has to unmount anything.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Process, SYSTEM_PATH, readhook, write_config_with};
use crate::servers::program;

/// The disk.
pub(crate) struct Image {
    file: PathBuf,
    mount: PathBuf,
    config: PathBuf,
    /// The last field: dropped last.
    _dir: tempfile::TempDir,
}

impl Image {
    pub(crate) fn new(mebibytes: u64) -> Self {
        Self::with(|file| {
            std::fs::File::create(file).unwrap().set_len(mebibytes << 20).unwrap();
            let mut mkfs = Command::new(program("mkfs.ext4"));
            succeed(mkfs.args(["-q", "-m", "0", "-J", "size=4"]).arg(file));
        })
    }

    fn with(make: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (file, mount) = (dir.path().join("image"), dir.path().join("disk"));
        make(&file);
        std::fs::create_dir(&mount).unwrap();
        // The sink has a disk of its own: it is the journal's that is in trouble.
        let sink = dir.path().join("receipts.jsonl");
        let sink = format!("[sinks.events]\ntype = \"file\"\npath = \"{}\"\n", sink.display());
        let config = write_config_with(dir.path(), &sink);
        let text = std::fs::read_to_string(&config).unwrap();
        let (before, after) = (dir.path().join("readhook.db"), mount.join("readhook.db"));
        std::fs::write(&config, text.replace(before.to_str().unwrap(), after.to_str().unwrap())).unwrap();
        Self { file, mount, config, _dir: dir }
    }

    /// The same with so many bytes in reserve.
    pub(crate) fn with_reserve(self, bytes: u64) -> Self {
        let text = std::fs::read_to_string(&self.config).unwrap();
        assert!(text.contains("reserve_bytes = 0"), "{text}");
        std::fs::write(&self.config, text.replace("reserve_bytes = 0", &format!("reserve_bytes = {bytes}")))
            .unwrap();
        self
    }

    /// A line of the shell that mounts it, in a namespace that is just made. Nothing is written in the
    /// background while a test takes its copy.
    fn mounted(&self) -> String {
        format!("mount -o loop,commit=300 '{}' '{}'", self.file.display(), self.mount.display())
    }

    /// A process with its journal there.
    pub(crate) fn start(&self) -> Process {
        Process::start_in_namespace(&self.mounted(), &self.config)
    }

    /// The path of a file of the disk as others see it for as long as the process lives.
    fn seen(&self, process: &Process, name: &str) -> PathBuf {
        let inside = self.mount.strip_prefix("/").unwrap().join(name);
        PathBuf::from(format!("/proc/{}/root", process.id())).join(inside)
    }

    /// Fills it to the last byte with a file, whose path is returned.
    pub(crate) fn fill(&self, process: &Process) -> PathBuf {
        use std::io::Write;
        let path = self.seen(process, "ballast");
        let mut file = std::fs::File::create(&path).unwrap();
        for size in [1 << 20, 4096, 512] {
            while file.write_all(&vec![1; size]).and_then(|()| file.sync_data()).is_ok() {}
        }
        path
    }

    /// Makes the kernel give up on it, as after an error: from now on it is read-only.
    pub(crate) fn abort(&self, process: &Process) {
        let mut command = Command::new(program("nsenter"));
        command.args(["-t", &process.id().to_string(), "-m", "mount", "-o", "remount,abort"]);
        succeed(command.arg(&self.mount));
    }

    /// A copy of what the disk itself holds, without what only the kernel remembers.
    pub(crate) fn as_it_is_now(&self) -> Self {
        Self::with(|file| {
            std::fs::copy(&self.file, file).unwrap();
        })
    }

    /// Whether the file system and the journal on it can be read from end to end.
    pub(crate) fn is_whole(&self) {
        let check = readhook();
        let script = format!(
            "{}; exec '{}' check --config '{}'",
            self.mounted(),
            check.get_program().display(),
            self.config.display()
        );
        let mut command = Command::new(program("unshare"));
        command.env_clear().env("PATH", SYSTEM_PATH).args(["-m", "sh", "-ec", &script]);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("whole, newest receipt"), "{output:?}");
    }
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {output:?}");
}
