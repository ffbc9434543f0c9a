//! The command line of `nightlatch-lab`, which `nightlatch demo` starts.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::demo::{self, DemoError};
use crate::now;
use crate::report::Report;
use crate::stage::{ATTACKER, StageError};

const USAGE: &str = "\
usage: nightlatch-lab demo --program NIGHTLATCH [--json]

The scanner and the network namespaces of \"nightlatch demo\", which starts this program.

  --program NIGHTLATCH  the program that protects the server of the demo
  --json                write JSON instead of text
";

/// Set for the second start of the program, inside a user namespace.
const INSIDE: &str = "NIGHTLATCH_DEMO_INSIDE";
const USAGE_ERROR: u8 = 2;
const NOT_ALLOWED: u8 = 77;

/// Runs the program. The exit code is 0 where the attacker saw nothing, 1 where something answered
/// or the demo failed, 2 for wrong arguments, 77 where this user may not make network namespaces.
pub fn main() -> ExitCode {
    match parse(std::env::args_os().skip(1)) {
        Ok(Asked::Demo(arguments)) => play(&arguments),
        Ok(Asked::Help) => {
            // A closed pipe is the reader's decision.
            let _ = std::io::stdout().write_all(USAGE.as_bytes());
            ExitCode::SUCCESS
        }
        Err(wrong) => {
            let _ = write!(std::io::stderr(), "nightlatch-lab: {wrong}\n\n{USAGE}");
            ExitCode::from(USAGE_ERROR)
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Demo(Arguments),
    Help,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The program that is shown.
    pub(crate) program: PathBuf,
    pub(crate) json: bool,
}

/// Reads the arguments; an error says what is wrong with them.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Asked, String> {
    let mut arguments = arguments.into_iter();
    match arguments.next() {
        Some(first) if first == "--help" || first == "-h" => return Ok(Asked::Help),
        Some(first) if first == "demo" => {}
        Some(first) => return Err(format!("unknown command: {}", first.display())),
        None => return Err("no command".to_owned()),
    }
    let (mut program, mut json) = (None, false);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--program") => {
                program = Some(arguments.next().ok_or("--program needs the path of nightlatch")?);
            }
            Some("--json") => json = true,
            Some("--help" | "-h") => return Ok(Asked::Help),
            _ => return Err(format!("unknown argument: {}", argument.display())),
        }
    }
    let program = program.ok_or("--program is missing; use \"nightlatch demo\", which gives it")?;
    Ok(Asked::Demo(Arguments { program: program.into(), json }))
}

/// Plays the demo.
fn play(arguments: &Arguments) -> ExitCode {
    if let Err(error) = become_root() {
        return failed(&error);
    }
    let start = now();
    let progress = |text: &str| {
        let seconds = start.elapsed().as_secs_f32();
        // Progress nobody can read is no reason to stop.
        let _ = writeln!(std::io::stderr(), "[{seconds:4.1} s] {text}");
    };
    match demo::play(progress, |stage| demo::protect(stage, &arguments.program)) {
        Ok(report) => tell(&report, arguments.json, start.elapsed().as_secs_f32()),
        Err(error) => failed(&error),
    }
}

fn tell(report: &Report, json: bool, seconds: f32) -> ExitCode {
    let mut out = std::io::stdout();
    let text = if json {
        match serde_json::to_string_pretty(report) {
            Ok(text) => format!("{text}\n"),
            Err(error) => return failed(&DemoError::Io(error.into())),
        }
    } else {
        format!("\n{}\n{}\n", report.table(), report.conclusion(ATTACKER))
    };
    // A closed pipe is the reader's decision.
    let _ = out.write_all(text.as_bytes());
    let _ = writeln!(std::io::stderr(), "Done in {seconds:.1} s; nothing of it is left.");
    if report.is_visible_to(ATTACKER) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn failed(error: &DemoError) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "nightlatch demo: {error}");
    match error {
        DemoError::Stage(StageError::NotAllowed { .. }) => ExitCode::from(NOT_ALLOWED),
        _ => ExitCode::FAILURE,
    }
}

/// An ordinary user becomes root of a user namespace of its own, where the machine allows it: the
/// program starts itself again there. Returns for root, and where it is not allowed.
fn become_root() -> Result<(), DemoError> {
    if rustix::process::geteuid().is_root() || std::env::var_os(INSIDE).is_some() {
        return Ok(());
    }
    let user_space = ["--user", "--map-root-user", "--"];
    let attempt = Command::new("unshare").args(user_space).arg("true").output();
    let attempt =
        attempt.map_err(|_| StageError::Missing { program: "unshare", package: "util-linux" })?;
    if !attempt.status.success() {
        let detail = String::from_utf8_lossy(&attempt.stderr).trim().to_owned();
        return Err(StageError::NotAllowed { detail }.into());
    }
    let own = std::env::current_exe()?;
    let arguments = std::env::args_os().skip(1);
    let error =
        Command::new("unshare").args(user_space).arg(own).args(arguments).env(INSIDE, "1").exec();
    Err(error.into())
}
