//! What `up` does to the machine: looks at it, starts the daemon, enables the units.

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nightlatch_core::cut::LiveFlow;
use nightlatch_core::features::State;
use nightlatch_core::service::{Catalogue, Ports, Role};

use super::survey::{self, Survey};
use crate::shell::beginnings::Beginnings;
use crate::shell::clock::Stopwatch;
use crate::shell::firewall::Tracking;
use crate::shell::flows::TrackedFlows;
use crate::shell::outcome::{Code, Failure};
use crate::shell::paths::Paths;
use crate::shell::pbx::{self, NamedContact};
use crate::shell::pbx_peers::{self, Trunk};
use crate::shell::store::{self, Store};
use crate::shell::streams::{self, Stream};
use crate::shell::{client, detach, systemd};

/// How long the daemon may take to begin: it may have to load long lists.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(30);

/// How long connection tracking watches VPNs before the firewall comes up.
const VPN_TRACKING_TIME: Duration = Duration::from_secs(2);

/// Looks at the machine.
pub(super) fn look() -> Survey {
    survey::take(&survey::Root::system())
}

/// The live flows of the machine; the catalogue names its services.
pub(super) fn flows(paths: &Paths, survey: &Survey, catalogue: &Catalogue) -> Vec<LiveFlow> {
    let beginnings = Beginnings::load(paths.beginnings());
    let mut known = Vec::new();
    if let Ok(mut tracked) = TrackedFlows::open() {
        // On failure, the socket tables remain as a source.
        let _ = beginnings.for_each_flow(&mut tracked, catalogue, |flow| known.push(flow));
    }
    survey::all_flows(survey, known)
}

/// The running media and VPN streams, or why they could not be captured. Takes a second, unless no
/// socket can have any.
pub(super) fn streams(survey: &Survey, catalogue: &Catalogue) -> Result<Vec<Stream>, String> {
    let ports: Vec<Ports> =
        [Role::Media, Role::Vpn].into_iter().flat_map(|role| catalogue.udp_ports(role)).collect();
    let may_run = has_socket(survey, &ports)
        || !survey.published.is_empty()
        || !survey.pbx.in_containers.is_empty();
    if !may_run {
        return Ok(Vec::new());
    }
    streams::running(&ports).map_err(|error| error.to_string())
}

fn has_socket(survey: &Survey, ports: &[Ports]) -> bool {
    let is_in = |protocol, port| ports.iter().any(|ports| ports.contains(protocol, port));
    survey.sockets.is_empty()
        || survey.sockets.iter().any(|socket| is_in(socket.protocol, socket.port))
        || survey.flows.iter().any(|flow| is_in(flow.protocol, flow.local_port))
}

/// Makes connection tracking see running VPNs before the firewall comes up: then their peers' packets
/// do not begin new flows, and the tunnels continue. Does nothing if no VPN can be running.
pub(super) fn track_vpns(survey: &Survey, catalogue: &Catalogue) -> Option<Tracking> {
    let ports = catalogue.udp_ports(Role::Vpn);
    if survey.sockets.is_empty() || !has_socket(survey, &ports) {
        return None;
    }
    // On failure, the tunnels recover with the next packet of this host.
    let tracking = Tracking::begin().ok()?;
    // An idle WireGuard tunnel sends a keep-alive only every 25 seconds, which is too long to wait; one
    // with traffic sends at once.
    std::thread::sleep(VPN_TRACKING_TIME);
    Some(tracking)
}

/// A contact with a host name, and its addresses.
pub(super) type Named = (NamedContact, Vec<SocketAddr>);

/// The addresses of the PBX's trunks: registrations, and fixed contacts with a host name.
pub(super) fn pbx_places(survey: &Survey) -> (Vec<Trunk>, Vec<Named>) {
    let answer = &survey.pbx_answer;
    (pbx_peers::resolve(answer.registrations.iter()), pbx_peers::resolve_named(answer))
}

/// Makes the PBX register again if the firewall has just come up, so that the kernel sees where it
/// really registers; returns messages about what was done and what was not.
pub(super) fn register_again(survey: &Survey, stood: bool) -> Vec<String> {
    if stood || survey.pbx_answer.registrations.is_empty() {
        return Vec::new();
    }
    let again = pbx::register_again(&survey.pbx_answer.registrations);
    let asked = again
        .asked
        .into_iter()
        .map(|command| format!("told the PBX to register at its trunks again ({command}); inbound calls may fail for a few seconds"));
    let not_asked = again
        .not_asked
        .into_iter()
        .map(|it| format!("{} was not told to register again: {}", it.what, it.reason));
    asked.chain(not_asked).collect()
}

/// The stored state of all features; an empty one where nothing was ever stored.
pub(super) fn stored(paths: &Paths) -> Result<State, Failure> {
    store::refuse_lost(paths)?;
    if !paths.database().exists() {
        return Ok(State::default());
    }
    Store::open_to_read(&paths.database())?.state()
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
                Failure::failed(format!("{error}; \"journalctl -u nightlatch -n 20\" shows why"))
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
        return "After a reboot it is loaded before the network is up.".to_owned();
    }
    let mut places = String::new();
    for option in paths.options().iter().filter(|_| !paths.are_usual()) {
        places = format!("{places} {}", option.to_string_lossy());
    }
    format!(
        "warning: this does NOT survive a reboot, because systemd does not manage it here; run \"nightlatch boot{places}\" before the network is up, and \"nightlatch daemon{places}\" after it"
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
        if ended.is_some() || waiting.elapsed() > DAEMON_TIMEOUT {
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
