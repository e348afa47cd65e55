//! A PostgreSQL of a test's own, looked at with psql.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use readhook::config::SinkConfig;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::endurance::sink_config;
use crate::house::PATIENCE;
use crate::servers::{Server, free_address, program};

/// A running server, trusting everybody but `scram`, who needs a password.
pub(crate) struct Cluster {
    pub(crate) server: Server,
    pub(crate) dir: tempfile::TempDir,
}

/// The programs of the newest PostgreSQL of this machine; Debian keeps them out of the path.
fn postgres_program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin").join(name)).filter(|path| path.is_file());
    found.max().unwrap_or_else(|| program(name))
}

fn id(asked: &[&str]) -> u32 {
    let output = Command::new("id").args(asked).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// PostgreSQL refuses to run as root.
fn as_postgres(command: &mut Command, files: &[&Path]) {
    if id(&["-u"]) == 0 {
        let (uid, gid) = (id(&["-u", "postgres"]), id(&["-g", "postgres"]));
        command.uid(uid).gid(gid);
        files.iter().for_each(|file| chown(file, Some(uid), Some(gid)).unwrap());
    }
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        Self::start_with("host all all 127.0.0.1/32 trust", |_| Vec::new()).await
    }

    /// With a line of `pg_hba.conf`, and with settings, whose files are given away to the server.
    pub(crate) async fn start_with(
        hosts: &str,
        settings: impl FnOnce(&Path) -> Vec<(&'static str, PathBuf)>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        // Another user's server must get in.
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let data = dir.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let mut init = Command::new(postgres_program("initdb"));
        init.args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C"]);
        init.arg("--pgdata").arg(&data).current_dir(dir.path());
        as_postgres(&mut init, &[&data]);
        let made = init.output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let rules = format!(
            "local all all trust\nhost all scram 127.0.0.1/32 scram-sha-256\n\
             hostssl all certificate 127.0.0.1/32 cert\n{hosts}\n"
        );
        std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
        let sockets = dir.path().join("sockets");
        std::fs::create_dir(&sockets).unwrap();
        let address = free_address();
        let mut command = Command::new(postgres_program("postgres"));
        command.arg("-D").arg(&data).current_dir(dir.path());
        command.args(["-p", &address.port().to_string(), "-c", "listen_addresses=127.0.0.1"]);
        // The machine does not fall over in these tests, only the server does; and a lock can be left
        // standing.
        command.args(["-c", "fsync=off", "-c", "max_prepared_transactions=1"]);
        command.arg("-c").arg(format!("unix_socket_directories={}", sockets.display()));
        let settings = settings(dir.path());
        for (name, value) in &settings {
            command.arg("-c").arg(format!("{name}={}", value.display()));
        }
        let mut files: Vec<&Path> = settings.iter().map(|(_, value)| &**value).collect();
        files.retain(|file| file.is_file());
        files.push(&sockets);
        as_postgres(&mut command, &files);
        let cluster = Self { server: Server::start(command, address).await, dir };
        cluster.until_it_answers().await;
        cluster
    }

    /// SIGKILL, and up again once nothing of it is left.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.server.kill();
        let data = self.dir.path().join("data");
        timeout(PATIENCE, async {
            while works_in(&data) {
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap();
        self.server.restart().await;
        self.until_it_answers().await;
    }

    async fn until_it_answers(&self) {
        timeout(PATIENCE, async {
            while self.psql("SELECT").is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .unwrap();
    }

    fn psql(&self, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(postgres_program("psql"));
        psql.args(["-qAtX", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres"]);
        psql.args(["-p", &self.server.address.port().to_string()]);
        psql.arg("-h").arg(self.sockets()).args(["-c", sql]).stdin(Stdio::null());
        let output = psql.output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// What psql answers to the superuser.
    pub(crate) fn sql(&self, sql: &str) -> String {
        self.psql(sql).unwrap_or_else(|error| panic!("{sql}: {error}")).trim_end().to_owned()
    }

    pub(crate) fn sockets(&self) -> PathBuf {
        self.dir.path().join("sockets")
    }

    /// The sink of a role, with further settings.
    pub(crate) fn sink(&self, role: &str, settings: &str) -> SinkConfig {
        let address = self.server.address;
        sink_config(&format!(
            "type = \"postgres\"\nurl = \"postgres://{role}@{address}/postgres\"\n{settings}"
        ))
    }

    /// The receipts of a table as they were committed, rebuilt from its columns.
    pub(crate) fn receipts(&self, table: &str, order: &str) -> Vec<Value> {
        let time = |column: &str| {
            format!(r#"to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')"#)
        };
        let rows = self.sql(&format!(
            "SELECT to_jsonb(r) || jsonb_build_object('up_to_time', {}, 'read_at', {}, 'received_at', {}) \
             FROM {table} r ORDER BY {order}",
            time("up_to_time"),
            time("read_at"),
            time("received_at"),
        ));
        rows.lines().map(receipt).collect()
    }
}

fn receipt(row: &str) -> Value {
    let row: Value = serde_json::from_str(row).unwrap();
    let mut receipt = json!({
        "conversation": { "type": row["conversation_type"], "id": row["conversation_id"] },
        "read_at": row["read_at"],
    });
    let same =
        ["id", "vendor", "app", "reader", "scope", "message_id", "message_seq", "up_to_time", "author"];
    for name in same.into_iter().chain(["received_at", "verified_by", "event", "event_id", "extra"]) {
        if !row[name].is_null() && row[name] != json!({}) {
            receipt[name] = row[name].clone();
        }
    }
    for (name, column) in [("read", "read_count"), ("unread", "unread_count")] {
        if !row[column].is_null() {
            receipt["counts"][name] = row[column].clone();
        }
    }
    receipt
}

/// Whether a process has this folder as its own, as all of PostgreSQL's have their data's.
fn works_in(folder: &Path) -> bool {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .into_iter()
        .any(|process| std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == folder))
}
