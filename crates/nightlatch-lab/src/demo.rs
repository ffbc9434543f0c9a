//! Runs the demo: builds the stage, scans, protects, scans again.

use std::io;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::now;
use crate::report::{Reach, Report};
use crate::scan;
use crate::stage::{ATTACKER, Host, OFFICE, Plan, SERVER, Stage, StageError, TRAVELLER};
use crate::standin::StandIn;

/// Why the demo could not be shown.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The stage.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// Sockets or processes.
    #[error("the demo could not go on: {0}")]
    Io(#[from] io::Error),
    /// One of the program's commands refused its work.
    #[error("\"nightlatch {command}\" failed inside the demo: {detail}")]
    Command {
        /// Its arguments.
        command: String,
        /// What it said.
        detail: String,
    },
    /// The daemon did not come up.
    #[error("the daemon did not answer inside the demo within {patience:?}: {log}")]
    Daemon {
        /// How long it was waited for.
        patience: Duration,
        /// The end of what it said.
        log: String,
    },
}

/// Plays the demo. `protect` turns the protection on between the two looks at the server, and
/// returns the processes that do it; they end with the stage. `progress` is told what happens.
///
/// # Errors
///
/// Where namespaces are not allowed or `protect` fails. In each case everything is gone again.
pub fn play(
    mut progress: impl FnMut(&str),
    protect: impl FnOnce(&Stage) -> Result<Vec<Child>, DemoError>,
) -> Result<Report, DemoError> {
    progress("building a telephone server, an office, a traveller and an attacker ...");
    // Without the machine's /run the daemon finds neither its systemd nor another daemon, and
    // what it writes there is gone with the stage.
    let stage = Stage::build(&Plan::standard().change(SERVER, |server| server.with_empty("/run")))?;
    let stand_in = StandIn::in_host(stage.host(SERVER)?)?;
    let mut report = Report::default();
    progress(
        "before: each tries all TCP ports, common UDP ports, odd packets and SIP requests ...",
    );
    report.before = look(&stage)?;
    progress("protecting the server with Nightlatch ...");
    let processes = protect(&stage)?;
    progress("after: each tries the same again ...");
    report.after = look(&stage)?;
    progress("removing everything ...");
    drop(stand_in);
    drop(stage);
    for mut process in processes {
        // The stage has killed it; this takes the last trace of it away.
        process.wait()?;
    }
    Ok(report)
}

/// Protects the server with `program`, which is `nightlatch`: starts its daemon, turns the allowlist
/// on, and lets office and traveller in.
///
/// # Errors
///
/// Where one of the commands fails.
pub fn protect(stage: &Stage, program: &Path) -> Result<Vec<Child>, DemoError> {
    let program = program.to_str().ok_or_else(|| io::Error::other("its path is not UTF-8"))?;
    let server = &Protected { host: stage.host(SERVER)?, program };
    let daemon = start_daemon(server)?;
    run(server, "up --yes --mode allowlist")?;
    let addresses = |name: &str| -> Result<String, DemoError> {
        let host = stage.host(name)?;
        Ok(format!("{} {}", host.v4(), host.v6()))
    };
    run(server, &format!("allow office {}", addresses(OFFICE)?))?;
    run(server, &format!("allow traveller {} --services sip --for 8h", addresses(TRAVELLER)?))?;
    Ok(vec![daemon])
}

/// What all hosts reach; they try at the same time.
fn look(stage: &Stage) -> Result<Vec<Reach>, DemoError> {
    let server = stage.host(SERVER)?;
    let mut hosts = Vec::new();
    for name in [OFFICE, TRAVELLER, ATTACKER] {
        hosts.push(stage.host(name)?);
    }
    let both = |host: &Host| -> io::Result<[Reach; 2]> {
        Ok([scan::reach(host, server.v4())?, scan::reach(host, server.v6())?])
    };
    let results: Vec<io::Result<[Reach; 2]>> = std::thread::scope(|scope| {
        let running: Vec<_> =
            hosts.into_iter().map(|host| scope.spawn(move || both(host))).collect();
        let results = running.into_iter().map(|scan| {
            scan.join().unwrap_or_else(|_| Err(io::Error::other("a scan ended with a panic")))
        });
        results.collect()
    });
    let mut reaches = Vec::new();
    for result in results {
        reaches.extend(result?);
    }
    Ok(reaches)
}

/// Where the program keeps its things inside the server's own /run.
const PLACE: &str = "/run/nightlatch-demo";
const TIMEOUT: Duration = Duration::from_secs(10);

/// The server and the path of the program that protects it.
struct Protected<'a> {
    host: &'a Host,
    program: &'a str,
}

fn start_daemon(server: &Protected) -> Result<Child, DemoError> {
    // The shell makes the directories, which exist inside the server only, and becomes the daemon.
    let script = format!(
        "mkdir -p {PLACE}/state {PLACE}/run && exec \"$@\" > {PLACE}/daemon.log 2>&1 < /dev/null"
    );
    let mut shell = clean(server.host.command("sh"));
    shell.args(["-c", &script, "sh"]).arg(server.program).args(options()).arg("daemon");
    let mut daemon = shell.spawn()?;
    let start = now();
    loop {
        // 69: the daemon is not running.
        let code = program(server).arg("status").output()?.status.code();
        if code.is_some_and(|code| code != 69) {
            return Ok(daemon);
        }
        let ended = daemon.try_wait()?.is_some();
        if ended || start.elapsed() > TIMEOUT {
            let mut tail = server.host.command("tail");
            tail.args(["-n", "5"]).arg(format!("{PLACE}/daemon.log"));
            let log = tail.output().map(|output| said(&output)).unwrap_or_default();
            return Err(DemoError::Daemon { patience: TIMEOUT, log });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs `nightlatch` with `arguments` (parted by spaces) inside the server; it has to succeed.
fn run(server: &Protected, arguments: &str) -> Result<(), DemoError> {
    let output = program(server).args(arguments.split(' ')).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(DemoError::Command { command: arguments.to_owned(), detail: said(&output) })
}

fn program(server: &Protected) -> Command {
    let mut command = clean(server.host.command(server.program));
    command.args(options());
    command
}

fn options() -> [String; 6] {
    [
        "--config".to_owned(),
        format!("{PLACE}/nightlatch.toml"),
        "--state-dir".to_owned(),
        format!("{PLACE}/state"),
        "--run-dir".to_owned(),
        format!("{PLACE}/run"),
    ]
}

/// Takes away what would tell the program about the machine outside.
fn clean(mut command: Command) -> Command {
    for variable in
        ["SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "SUDO_USER"]
    {
        command.env_remove(variable);
    }
    for variable in
        ["NIGHTLATCH_CONFIG", "NIGHTLATCH_STATE_DIR", "NIGHTLATCH_RUN_DIR", "NIGHTLATCH_ROOT"]
    {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

fn said(output: &Output) -> String {
    let all = [output.stdout.as_slice(), &output.stderr].concat();
    let text = String::from_utf8_lossy(&all).trim().to_owned();
    if text.is_empty() { output.status.to_string() } else { text }
}
