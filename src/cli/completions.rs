//! `readhook completions`: what a shell completes, made from the arguments themselves.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::{Arguments, Exit, print_bytes};

pub(super) fn completions(shell: Shell) -> Exit {
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "readhook", &mut script);
    print_bytes(&script)
}
