//! The commands of docs/simulate.md, run as they stand there, against a service with the demo's configuration.

use tokio::task::block_in_place;

use super::text;
use crate::house::{House, demo, repository};
use crate::process::readhook;

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_commands_do_what_they_say() {
    let document = std::fs::read_to_string(repository("docs/simulate.md")).unwrap();
    let commands: Vec<&str> =
        document.lines().filter_map(|line| line.strip_prefix("$ readhook simulate ")).collect();
    assert!(commands.len() >= 4, "{commands:?}");
    let house = House::start(&demo()).await;
    // The default configuration is looked for from where the command is run.
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("config")).unwrap();
    std::fs::write(dir.path().join("config/readhook.toml"), demo()).unwrap();
    for arguments in commands {
        let mut command = readhook();
        command.current_dir(dir.path()).env("READHOOK__SERVER__LISTEN", house.public.to_string());
        command.arg("simulate").args(arguments.split_whitespace());
        let output = block_in_place(|| command.output()).unwrap();
        let (printed, said) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{arguments}: {printed} {said}");
        assert!(said.contains("sending "), "{arguments}: {said}");
        assert!(printed.contains("latency"), "{arguments}: {printed}");
    }
    house.end().await;
}
