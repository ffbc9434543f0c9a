//! The command line: one tree, from which help, manual pages and completions come.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser};

use crate::features::{Command, Context, Run, oldnames};
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::paths::Paths;
use crate::shell::screen;

/// A night latch for telephone servers: the machine's own calls go out, its people and carriers
/// come in, and for everyone else it does not exist.
///
/// Times are written 90s, 15m, 8h, 7d; addresses 203.0.113.7, 203.0.113.0/24,
/// 203.0.113.7-203.0.113.9, 2001:db8::1.
#[derive(Parser, Debug)]
#[command(name = "nightlatch", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 done, 1 the answer is no, 2 wrong use, 69 the daemon is not \
    running, 74 disk or kernel failed, 77 not allowed, 78 bad configuration."
)]
pub struct Cli {
    #[command(flatten)]
    paths: Paths,
    /// Write JSON instead of text
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// Runs the program: by its own name with a command, or by an old name it is linked to.
pub fn main() -> ExitCode {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let outcome = match oldnames::recognise(&arguments) {
        Some(old) => old.run(),
        None => run_parsed(),
    };
    outcome.unwrap_or_else(|failure| {
        screen::complain(format!("nightlatch: {failure}"));
        failure.code.exit()
    })
}

fn run_parsed() -> Outcome {
    match Cli::try_parse() {
        Ok(cli) => cli.run(),
        Err(error) => {
            let _ = error.print();
            Ok(if error.use_stderr() { Code::Usage.exit() } else { ExitCode::SUCCESS })
        }
    }
}

impl Cli {
    /// Runs the command.
    ///
    /// # Errors
    /// As the command.
    pub fn run(self) -> Outcome {
        self.command.run(&Context { paths: self.paths, json: self.json })
    }
}

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
        let mut tree = Cli::command();
        tree.build();
        let written = match self.what {
            Generated::Man => self.manual(&tree),
            Generated::Completions => self.completions(tree),
        };
        written.map_err(|error| {
            Failure::failed(format!("{} cannot be written: {error}", self.folder.display()))
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Generate {
    fn manual(&self, tree: &clap::Command) -> std::io::Result<()> {
        let page = |command: clap::Command, name: &str| {
            let manual = clap_mangen::Man::new(command).title(name.to_uppercase()).section("8");
            let mut text = Vec::new();
            manual.render(&mut text)?;
            std::fs::write(self.folder.join(format!("{name}.8")), text)
        };
        page(tree.clone(), "nightlatch")?;
        for command in tree.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = format!("nightlatch-{}", command.get_name());
            if command.get_name() != "help" {
                // The page of a command is called as it is typed.
                page(renamed(command, &name), &name)?;
            }
        }
        Ok(())
    }

    fn completions(&self, mut tree: clap::Command) -> std::io::Result<()> {
        use clap_complete::Shell;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            clap_complete::generate_to(shell, &mut tree, "nightlatch", &self.folder)?;
        }
        Ok(())
    }
}

fn renamed(command: &clap::Command, name: &str) -> clap::Command {
    // clap takes names that live for ever; the program ends right after this.
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    command.clone().name(name)
}
