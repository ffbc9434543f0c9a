//! The old names: `add-ip`, `add-fqdn`, `del-acct`, `add-blacklist`, `iptables-restart`, `iptables-knock`.
//!
//! These are the commands of Travelin' Man 3. Called by one of them, the program accepts the same arguments and
//! runs the corresponding command of Nightlatch: `add-ip office 203.0.113.7` asks for the services by the numbers
//! of the old menu at a terminal, and allows all of them in a script (`add-fqdn` telephony only, because DNS is not
//! authenticated); `del-acct office.iptables` accepts the name of the old file too.

mod logic;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::Cli;
use crate::shell::outcome::{Code, Failure, Outcome};
use crate::shell::screen;

pub use logic::OldName;

/// A call by an old name.
#[derive(Debug)]
pub struct OldCall {
    name: OldName,
    arguments: Vec<String>,
}

/// Whether the program was called by an old name.
pub fn recognise(arguments: &[OsString]) -> Option<OldCall> {
    let called = Path::new(arguments.first()?).file_name()?.to_str()?;
    let name = OldName::of(called)?;
    let rest = arguments.iter().skip(1);
    Some(OldCall {
        name,
        arguments: rest.map(|text| text.to_string_lossy().into_owned()).collect(),
    })
}

impl OldCall {
    /// Does the new thing.
    ///
    /// # Errors
    /// As the new command; wrong arguments are answered with how the old command is used.
    pub fn run(&self) -> Outcome {
        let mut arguments = self.arguments.clone();
        if self.name == OldName::DelAcct && arguments.is_empty() {
            run_new(vec!["list".to_owned()])?;
            match screen::ask("Which account to remove? ") {
                Some(name) if !name.is_empty() => arguments.push(name),
                _ => return Err(Failure::new(Code::Usage, self.name.usage())),
            }
        }
        let services = match self.name.takes_services() && arguments.len() == 2 {
            true => Self::ask_services()?,
            false => None,
        };
        let new = logic::translate(self.name, &arguments, services.as_deref())
            .ok_or_else(|| Failure::new(Code::Usage, self.name.usage()))?;
        run_new(new)
    }

    /// The old menu, where somebody sits there to answer it.
    fn ask_services() -> Result<Option<String>, Failure> {
        if !screen::is_interactive() {
            return Ok(None);
        }
        for line in logic::menu() {
            screen::say(line);
        }
        let answer =
            screen::ask("Services by number, separated by commas (1,4), or Enter for all: ");
        logic::services_of(answer.as_deref().unwrap_or_default()).map(Some).map_err(|wrong| {
            Failure::new(
                Code::Usage,
                format!("\"{wrong}\" is not a number of the menu: nothing was changed"),
            )
        })
    }
}

fn run_new(arguments: Vec<String>) -> Outcome {
    let program = std::iter::once("nightlatch".to_owned());
    match Cli::try_parse_from(program.chain(arguments)) {
        Ok(cli) => cli.run(),
        Err(error) => {
            let _ = error.print();
            Ok(if error.use_stderr() { Code::Usage.exit() } else { ExitCode::SUCCESS })
        }
    }
}
