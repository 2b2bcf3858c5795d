//! `tidegate completions` and `tidegate man`: what is made of the definitions of the command line.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::Failure;
use crate::client::ClientError;
use crate::flags::Cli;

/// Prints the completions for a shell.
pub(crate) fn complete(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut script);
    Ok(io::stdout().write_all(&script)?)
}

/// Prints the page of a command, or writes all pages to a directory.
pub(crate) fn run(command: &[String], dir: Option<&Path>) -> Result<(), Failure> {
    let mut root = built();
    if let Some(dir) = dir {
        return write_all(&root, dir);
    }
    for name in command.iter().flat_map(|words| words.split_whitespace()) {
        let found = root.find_subcommand(name).cloned();
        root = found.ok_or_else(|| Failure::Usage(format!("there is no command `{name}'")))?;
    }
    Ok(io::stdout().write_all(&page(root)?)?)
}

/// The definitions, in which every command knows its full name.
fn built() -> Command {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    root
}

fn write_all(command: &Command, dir: &Path) -> Result<(), Failure> {
    let path = dir.join(format!("{}.1", page_name(command)));
    let at = |error| Failure::Table(ClientError::File { path: path.clone(), error });
    fs::write(&path, page(command.clone())?).map_err(at)?;
    command.get_subcommands().try_for_each(|command| write_all(command, dir))
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let name = page_name(&command);
    let mut page = Vec::new();
    Man::new(command.display_name(&name)).title(name.to_uppercase()).render(&mut page)?;
    Ok(page)
}

/// Such as `tidegate-expect-list`.
fn page_name(command: &Command) -> String {
    command.get_bin_name().unwrap_or(PROGRAM).replace(' ', "-")
}

const PROGRAM: &str = "tidegate";
