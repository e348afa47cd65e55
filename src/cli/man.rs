//! `readhook man`: the manual page of the program or of one of its commands, made from the arguments themselves.

use clap::CommandFactory;
use clap_mangen::Man;

use super::{Arguments, Exit, complain, print_bytes, say};

pub(super) fn man(of: Option<&str>) -> Exit {
    let mut program = Arguments::command();
    // Gives every command its full name and the options that all have.
    program.build();
    let command = match of {
        None => program,
        Some(name) => match program.find_subcommand(name) {
            Some(command) => command.clone(),
            None => {
                let names: Vec<&str> = program.get_subcommands().map(clap::Command::get_name).collect();
                say(&format!("there is no command `{name}`; there are {}", names.join(", ")));
                return Exit::Usage;
            }
        },
    };
    let mut page = Vec::new();
    match Man::new(command).render(&mut page) {
        Ok(()) => print_bytes(&page),
        Err(error) => {
            complain(&error);
            Exit::Io
        }
    }
}
