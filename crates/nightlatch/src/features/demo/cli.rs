//! `nightlatch demo`.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use super::io::{self, DemoError};
use super::stage::{ATTACKER, StageError};
use super::{logic::Report, now};
use crate::features::context::{Context, Run};
use crate::shell::outcome::Outcome;

/// Show on a stage of network namespaces what a protected server looks like from outside.
///
/// Nothing of this machine is touched.
#[derive(Debug, clap::Args)]
pub struct Demo {}

impl Run for Demo {
    fn run(&self, context: &Context) -> Outcome {
        Ok(play(context.json))
    }
}

/// Set for the second start of the program, inside a user namespace.
const INSIDE: &str = "NIGHTLATCH_DEMO_INSIDE";
const NOT_ALLOWED: u8 = 77;

/// Plays the demo. The exit code is 0 where the attacker saw nothing, 1 where something answered
/// or the demo failed, 77 where this user may not make network namespaces.
fn play(as_json: bool) -> ExitCode {
    if let Err(error) = become_root() {
        return failed(&error);
    }
    let start = now();
    let progress = |text: &str| {
        let seconds = start.elapsed().as_secs_f32();
        // Progress nobody can read is no reason to stop.
        let _ = writeln!(std::io::stderr(), "[{seconds:4.1} s] {text}");
    };
    match io::play(progress, io::protect) {
        Ok(report) => tell(&report, as_json, start.elapsed().as_secs_f32()),
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
