//! Real programs: Kamailio as a carrier's registrar or as the PBX, baresip as the PBX or as a
//! telephone, linphonec as a telephone, sipp as the caller.

mod agent;
mod baresip;
mod linphone;
mod phone;
mod trunk;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use nightlatch_lab::stage::{Host, HostPlan, Plan, Stage};

use super::super::ground::run;
use super::super::program::Program;
use crate::support::{self, wait_until};

/// How long a program on a busy machine may take.
const TIMEOUT: Duration = Duration::from_secs(25);

/// A program that makes and gets calls.
trait Phone {
    fn dials(&mut self, uri: &str);

    fn hangs_up(&mut self);

    /// The names of all events that have happened and have not been discarded, e.g. `REGISTER_OK`.
    fn happened(&mut self) -> &mut Vec<String>;

    /// Its log.
    fn said(&self) -> String;

    /// Waits for an event, and discards all events up to it.
    fn waits_for(&mut self, event: &str) {
        let start = crate::support::now();
        loop {
            let happened = self.happened();
            if let Some(at) = happened.iter().position(|it| it == event) {
                happened.drain(..=at);
                return;
            }
            let seen = happened.clone();
            assert!(
                start.elapsed() < TIMEOUT,
                "{event} does not happen, but {seen:?}; {}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// All events since then.
    fn events(&mut self) -> Vec<String> {
        std::mem::take(self.happened())
    }
}

/// The carrier has a second address, for media and for callers.
const MEDIA: &str = "192.0.2.167";

fn stage() -> Option<Stage> {
    if !support::installed(&["nft", "conntrack", "kamailio", "sipp", "baresip"]) {
        return None;
    }
    let carrier = |_: HostPlan| {
        let addresses = ["192.0.2.166/25", "192.0.2.167/25", "2001:db8:66::66/64"];
        HostPlan::new("attacker", "lan-attacker", &addresses)
    };
    support::stage(&Plan::standard().change("attacker", carrier))
}

/// Shortens the timeouts of connection tracking from minutes to seconds.
fn shorten_memory(server: &Host) {
    server.set_kernel("netfilter/nf_conntrack_udp_timeout", "1").unwrap();
    server.set_kernel("netfilter/nf_conntrack_udp_timeout_stream", "2").unwrap();
}

/// Waits until connection tracking has dropped all SIP flows.
fn is_forgotten(server: &Host) {
    wait_until("the flows are forgotten", TIMEOUT, || {
        let listed = run(server, "conntrack -L -p udp");
        !listed.contains("dport=5060")
    });
}

/// Kamailio at an address of a host, with these rules for requests.
fn kamailio(host: &Host, address: &str, place: &Path, more: &str) -> Program {
    let place = place.join(format!("kamailio-{}", host.name()));
    std::fs::create_dir_all(&place).unwrap();
    let configuration = format!(
        r#"#!KAMAILIO
debug=1
log_stderror=yes
children=2
tcp_children=2
auto_aliases=no
server_header="Server: carrier"
listen=udp:{address}:5060
listen=tcp:{address}:5060
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "kex.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "nathelper.so"
modparam("usrloc", "db_mode", 0)
modparam("usrloc", "timer_interval", 1)
modparam("registrar", "min_expires", 1)
modparam("registrar", "max_expires", 3600)
modparam("registrar", "default_expires", 3600)
{more}
route[IN_DIALOG] {{
    if (has_totag() && loose_route()) {{
        t_relay();
        exit;
    }}
}}
route[TO_PHONE] {{
    if (!lookup("location")) {{
        sl_send_reply("404", "Not Found");
        exit;
    }}
    t_relay();
}}
"#
    );
    let file = place.join("kamailio.cfg");
    std::fs::write(&file, configuration).unwrap();
    let mut command = host.command("kamailio");
    command.args(["-DD", "-E", "-m", "32", "-M", "4", "-f"]).arg(&file);
    command.arg("-Y").arg(&place).arg("-w").arg(&place);
    let log = place.join("log");
    let mut program = Program::start(command, &log);
    wait_until("Kamailio listens", TIMEOUT, || {
        let ended = program.0.try_wait().unwrap();
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        assert!(ended.is_none(), "{ended:?}: {}", said());
        run(host, "ss -Hlnu").contains(&format!("{address}:5060"))
    });
    program
}

/// A carrier: accepts registrations and forwards calls in both directions. Calls to "music" are
/// answered from the media address.
const CARRIER: &str = r#"
request_route {
    if (is_method("REGISTER")) {
        save("location");
        exit;
    }
    if (is_method("INVITE")) {
        record_route();
    }
    route(IN_DIALOG);
    if ($rU == "music") {
        $du = "sip:192.0.2.167:5070";
        t_relay();
        exit;
    }
    route(TO_PHONE);
}
"#;

/// sipp at an address of a host, with a built-in scenario or one of ours. Its output is saved.
fn sipp(host: &Host, address: &str, place: &Path, arguments: &[&str]) -> Command {
    let mut command = host.command("sipp");
    command.args(["-i", address, "-mi", address, "-m", "1", "-nostdin", "-trace_err"]);
    command.args(["-timeout", "60s", "-timeout_error", "-rtp_echo"]).args(arguments);
    // It writes its screen and files into the working directory.
    command.current_dir(place).env("TERM", "dumb");
    command
}

/// Waits until sipp has succeeded.
fn has_succeeded(mut program: Program, place: &Path, log: &str) {
    let mut status = None;
    wait_until("sipp ends", Duration::from_secs(70), || {
        status = program.0.try_wait().unwrap();
        status.is_some()
    });
    let said = std::fs::read_to_string(place.join(log)).unwrap_or_default();
    let tail: Vec<&str> = said.lines().rev().take(60).collect();
    let tail: Vec<&str> = tail.into_iter().rev().collect();
    assert!(status.unwrap().success(), "sipp: {status:?}\n{}", tail.join("\n"));
}
