//! What `up` does to the machine: looks at it, starts the daemon, enables the units.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nightlatch_core::cut::LiveFlow;
use nightlatch_core::ledger::Ledger;

use super::survey::{self, Survey};
use crate::shell::clock::Stopwatch;
use crate::shell::firewall::Firewall;
use crate::shell::outcome::{Code, Failure};
use crate::shell::paths::Paths;
use crate::shell::store::{self, Store};
use crate::shell::{client, detach, systemd};

/// How long the daemon may take to begin: it may have to load long lists.
const DAEMON_PATIENCE: Duration = Duration::from_secs(30);

/// Looks at the machine.
pub(super) fn look() -> (Survey, Vec<LiveFlow>) {
    let survey = survey::take(&survey::Root::system());
    let mut tracked = Vec::new();
    if let Ok(mut firewall) = Firewall::open() {
        // Without connection tracking there is nothing to show; the socket tables remain.
        let _ = firewall.for_each_flow(|flow| tracked.push(flow));
    }
    let flows = survey::all_flows(&survey, tracked);
    (survey, flows)
}

/// The stored ledger; an empty one where nothing was ever stored.
pub(super) fn stored_ledger(paths: &Paths) -> Result<Ledger, Failure> {
    store::refuse_lost(paths)?;
    if !paths.database().exists() {
        return Ok(Ledger::default());
    }
    Store::open_to_read(&paths.database())?.ledger()
}

/// Whether systemd keeps the daemon of these places.
pub(super) fn kept_by_systemd(paths: &Paths) -> bool {
    paths.are_usual() && systemd::is_running() && systemd::has_units()
}

/// Sees to it that the daemon runs, now and after a reboot where systemd is there.
pub(super) fn start_daemon(paths: &Paths) -> Result<(), Failure> {
    if kept_by_systemd(paths) {
        let enable = ["enable", "--quiet", systemd::BOOT_UNIT, systemd::DAEMON_UNIT];
        systemd::systemctl(&enable).map_err(Failure::failed)?;
        if !client::is_running(paths) {
            systemd::systemctl(&["restart", systemd::DAEMON_UNIT]).map_err(|error| {
                Failure::failed(format!("{error}; \"journalctl -u nightlatch -n 20\" says why"))
            })?;
        }
        return wait_for_daemon(paths, None);
    }
    if client::is_running(paths) {
        return Ok(());
    }
    let child = spawn_detached(paths, &["daemon"], "daemon.log")?;
    wait_for_daemon(paths, Some(child))
}

/// What the next boot brings, in a sentence.
pub(super) fn after_a_reboot(paths: &Paths) -> String {
    if kept_by_systemd(paths) {
        return "After a reboot it stands before the network does.".to_owned();
    }
    let mut places = String::new();
    for option in paths.options().iter().filter(|_| !paths.are_usual()) {
        places = format!("{places} {}", option.to_string_lossy());
    }
    format!(
        "attention: it does NOT survive a reboot by itself, since systemd does not keep it here; have \"nightlatch boot{places}\" run before the network, and \"nightlatch daemon{places}\" after it"
    )
}

/// Disables the units, so that a reboot leaves the machine as it is now.
pub(super) fn disable_units(paths: &Paths) -> Result<(), Failure> {
    if kept_by_systemd(paths) {
        let disable = ["disable", "--now", "--quiet", systemd::DAEMON_UNIT, systemd::BOOT_UNIT];
        systemd::systemctl(&disable).map_err(Failure::failed)?;
    }
    Ok(())
}

/// Starts this program again so that it outlives the terminal; its messages go to a file.
pub(super) fn spawn_detached(paths: &Paths, command: &[&str], log: &str) -> Result<Child, Failure> {
    let failed =
        |error: std::io::Error| Failure::failed(format!("the daemon cannot be started: {error}"));
    store::make_folder(&paths.state_dir)?;
    let log = File::create(paths.state_dir.join(log)).map_err(failed)?;
    let child = Command::new(std::env::current_exe().map_err(failed)?)
        .args(command)
        .arg("--detached")
        .args(paths.options())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        // Its log is a file, whatever the caller's is.
        .env_remove("JOURNAL_STREAM")
        .current_dir("/")
        .spawn()
        .map_err(failed)?;
    detach::wait_until_it_has_left(&child);
    Ok(child)
}

fn wait_for_daemon(paths: &Paths, mut child: Option<Child>) -> Result<(), Failure> {
    let waiting = Stopwatch::start();
    while !client::is_running(paths) {
        let ended = child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        if ended.is_some() || waiting.elapsed() > DAEMON_PATIENCE {
            let log =
                std::fs::read_to_string(paths.state_dir.join("daemon.log")).unwrap_or_default();
            let code = ended.and_then(|status| status.code()).map_or(Code::Failed, code_of);
            return Err(Failure::new(code, format!("the daemon did not start: {}", log.trim())));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn code_of(status: i32) -> Code {
    const BAD_CONFIGURATION: i32 = Code::Configuration as i32;
    if status == BAD_CONFIGURATION { Code::Configuration } else { Code::Failed }
}
