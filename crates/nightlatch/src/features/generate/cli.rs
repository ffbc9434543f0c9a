//! `generate`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;

use super::io;
use crate::cli::Cli;
use crate::features::context::{Context, Run};
use crate::shell::outcome::{Failure, Outcome};

/// Write manual pages or completions into a folder
#[derive(clap::Args, Debug)]
pub struct Generate {
    /// What to write
    what: Generated,
    /// The folder, which must exist
    folder: PathBuf,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Generated {
    /// Manual pages, section 8
    Man,
    /// Completions for bash, zsh and fish
    Completions,
}

impl Run for Generate {
    fn run(&self, _context: &Context) -> Outcome {
        let written = match self.what {
            Generated::Man => {
                let mut tree = without_help(Cli::command());
                tree.build();
                io::manual(&tree, &self.folder)
            }
            Generated::Completions => {
                let mut tree = Cli::command();
                tree.build();
                io::completions(tree, &self.folder)
            }
        };
        written.map_err(|error| {
            Failure::failed(format!("{} cannot be written: {error}", self.folder.display()))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// "help" needs no page of its own.
fn without_help(command: clap::Command) -> clap::Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}
