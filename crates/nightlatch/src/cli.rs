//! The command line: one tree, from which help, manual pages and completions come.

use std::process::ExitCode;

use clap::Parser;

use crate::features::commands::Command;
use crate::features::context::{Context, Run};
use crate::features::oldnames;
use crate::shell::outcome::{Code, Outcome};
use crate::shell::paths::Paths;
use crate::shell::screen;

/// A firewall for telephone servers. Only the people and carriers you allow can connect; the
/// server does not answer anyone else. Its own outgoing calls are not affected.
///
/// Times are written 90s, 15m, 8h, 7d; addresses 203.0.113.7, 203.0.113.0/24,
/// 203.0.113.7-203.0.113.9, 2001:db8::1.
#[derive(Parser, Debug)]
#[command(name = "nightlatch", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Exit codes: 0 success, 1 refused or negative result, 2 usage error, 69 daemon \
    not running, 74 disk or kernel error, 77 permission denied, 78 invalid configuration."
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
        let context = Context { paths: self.paths, json: self.json };
        let outcome = self.command.run(&context);
        if let (true, Err(failure)) = (context.json, &outcome) {
            Context::say_refused(failure);
        }
        outcome
    }
}
