//! Phones whose user agent is a secret one. Real programs register at Kamailio, and repeat it by themselves:
//! what they send first opens, and what they send again is answered.

use std::net::IpAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nightlatch_lab::packet::{Caught, Listener};
use nightlatch_lab::stage::Host;

use super::super::super::access::Client;
use super::super::super::ground::{Ears, both, protect};
use super::baresip::{Baresip, which};
use super::{Program, TIMEOUT, kamailio, sipp, stage};
use crate::support::{install_program, installed, wait_until};

const UDP: u8 = 17;

/// Answers all who register.
const PBX: &str = r#"
request_route {
    if (is_method("REGISTER")) {
        save("location");
    }
    exit;
}
"#;

/// A user agent of nobody.
const OTHER: &str = "Yealink SIP-T46S 66.85.0.5";

#[test]
fn sipp_opens_for_itself_over_ipv4() {
    opens_for_itself(0, start_sipp);
}

#[test]
fn sipp_opens_for_itself_over_ipv6() {
    opens_for_itself(1, start_sipp);
}

#[test]
fn baresip_opens_for_itself_over_ipv4() {
    opens_for_itself(0, start_baresip);
}

#[test]
fn baresip_opens_for_itself_over_ipv6() {
    opens_for_itself(1, start_baresip);
}

#[test]
fn linphone_opens_for_itself() {
    if installed(&["linphone-daemon"]) {
        opens_for_itself(0, start_linphone);
    }
}

/// `start` starts a phone on a host, which registers at the address with this user agent. 0 is IPv4.
fn opens_for_itself<P>(family: usize, start: impl Fn(&Host, IpAddr, &Path, &str) -> P) {
    let Some(stage) = stage() else { return };
    let (server, phone) = (stage.host("server").unwrap(), stage.host("traveller").unwrap());
    let stranger = stage.host("office").unwrap();
    let (own, from) = (both(server)[family], both(phone)[family]);
    let (nightlatch, _daemon) = protect(server, "");
    let place = nightlatch.directory();
    let _pbx = kamailio(server, &bracketed(own), place, PBX);
    let client = Client::of(&nightlatch, "anna", "sip", &[]);
    let secret = &client.card["USER_AGENT"];
    let leases = || nightlatch.json(&["leases"])["leases"].clone();
    let ears = Ears::on(server);
    let mut arriving = Listener::in_host(server).unwrap();

    let other = start(stranger, own, place, OTHER);
    let mut repeated = 0;
    wait_until("the stranger repeats it", TIMEOUT, || {
        let came = arriving.gather(Duration::from_millis(50)).unwrap();
        repeated += came.iter().filter(|it| begins(it, "REGISTER ") && has(it, OTHER)).count();
        repeated >= 3
    });
    drop(other);
    assert_eq!(ears.count(both(stranger)[family], UDP), 0);
    assert_eq!(leases(), serde_json::json!([]));

    let mut hears = Listener::in_host(phone).unwrap();
    let running = start(phone, own, place, secret);
    let answer = |it: &Caught| it.source == own && begins(it, "SIP/2.0 200");
    assert!(hears.find(TIMEOUT, answer).unwrap().is_some(), "{}", nightlatch.log());
    let all = leases();
    assert_eq!(all.as_array().unwrap().len(), 1, "{all}");
    let lease = &all[0];
    assert_eq!(lease["address"], from.to_string().as_str(), "{all}");
    assert_eq!((&lease["user"], &lease["credential"]), (&"anna".into(), &"agent".into()), "{all}");
    drop(running);
    let came = arriving.gather(Duration::from_millis(200)).unwrap();
    let came: Vec<_> = came.iter().filter(|it| it.source == from && it.protocol == UDP).collect();
    let passed = ears.count(from, UDP);
    assert!((1..came.len()).contains(&passed), "{passed} of {} came through", came.len());
    // The phone's own repetition, byte by byte.
    assert!(begins(came[0], "REGISTER ") && has(came[0], secret));
    assert_eq!(payload(came[0]), payload(came[1]));
}

fn payload(packet: &Caught) -> &[u8] {
    packet.body().get(8..).unwrap_or_default()
}

fn begins(packet: &Caught, text: &str) -> bool {
    packet.protocol == UDP && payload(packet).starts_with(text.as_bytes())
}

/// Whether it has this user agent.
fn has(packet: &Caught, agent: &str) -> bool {
    let text = String::from_utf8_lossy(payload(packet));
    text.contains(&format!("\r\nUser-Agent: {agent}\r\n"))
}

/// As in URIs.
fn bracketed(address: IpAddr) -> String {
    if address.is_ipv4() { address.to_string() } else { format!("[{address}]") }
}

/// The address of a host that is of the family of this one.
fn beside(host: &Host, own: IpAddr) -> IpAddr {
    both(host)[usize::from(own.is_ipv6())]
}

fn start_sipp(host: &Host, own: IpAddr, place: &Path, agent: &str) -> Program {
    let place = place.join(format!("sipp-{}", host.name()));
    std::fs::create_dir_all(&place).unwrap();
    let scenario = format!(
        r#"<?xml version="1.0"?>
<scenario name="registers">
<send retrans="500"><![CDATA[
REGISTER sip:[remote_ip] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
Max-Forwards: 70
From: <sip:100@[remote_ip]>;tag=[call_number]
To: <sip:100@[remote_ip]>
Call-ID: [call_id]
CSeq: 1 REGISTER
Contact: <sip:100@[local_ip]:[local_port]>
Expires: 60
User-Agent: {agent}
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
"#
    );
    std::fs::write(place.join("registers.xml"), scenario).unwrap();
    let (address, target) = (beside(host, own).to_string(), format!("{}:5060", bracketed(own)));
    let command = sipp(host, &address, &place, &["-sf", "registers.xml", &target]);
    Program::start(command, &place.join("log"))
}

fn start_linphone(host: &Host, own: IpAddr, place: &Path, agent: &str) -> Program {
    let place = place.join(format!("linphone-{}", host.name()));
    // It creates its database there, but not the folder.
    std::fs::create_dir_all(place.join(".local/share/linphone")).unwrap();
    let configuration = format!(
        "[sip]\n\
         sip_port=5060\n\
         use_ipv6=0\n\
         default_proxy=0\n\
         user_agent={agent}\n\
         [proxy_0]\n\
         reg_proxy=<sip:{own};transport=udp>\n\
         reg_identity=sip:100@{own}\n\
         reg_expires=60\n\
         reg_sendregister=1\n\
         publish=0\n"
    );
    std::fs::write(place.join("linphonerc"), configuration).unwrap();
    // Not linphonec, which takes no user agent but its own.
    let mut command = host.command("linphone-daemon");
    command.arg("--config").arg(place.join("linphonerc")).arg("--log").arg(place.join("log"));
    command.env("HOME", &place).env("XDG_RUNTIME_DIR", &place);
    for variable in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "DISPLAY"] {
        command.env_remove(variable);
    }
    // With a server named, the sound library starts none of its own.
    command.env("PULSE_SERVER", "unix:/nonexistent");
    // It ends with its input.
    Program::start_with(command, &place.join("output"), Stdio::piped())
}

fn start_baresip(host: &Host, own: IpAddr, place: &Path, agent: &str) -> Baresip {
    let folder = place.join(format!("baresip-{}", host.name()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("bytes"), renamed_baresip(agent)).unwrap();
    // It is what the other module would link to the program otherwise.
    install_program(folder.join("bytes"), &folder.join("phone"));
    let account = format!("<sip:100@{};transport=udp>;regint=60", bracketed(own));
    Baresip::start(host, &bracketed(beside(host, own)), place, &account, "phone")
}

/// baresip has no setting for its user agent: this is the program with another one in it.
fn renamed_baresip(agent: &str) -> Vec<u8> {
    let mut program = std::fs::read(which("baresip")).unwrap();
    let is_name = |at: usize| {
        let text = program[at..].split(|byte| *byte == 0).next().unwrap_or_default();
        text.ends_with(b"/linux)").then_some(text.len())
    };
    let mut begins = program.windows(9).enumerate().filter(|(_, text)| text == b"baresip v");
    let found = begins.find_map(|(at, _)| Some((at, is_name(at)?)));
    let (at, length) = found.expect("the user agent of baresip is not in the program");
    assert!(agent.len() <= length, "no room for {} characters", agent.len());
    program[at..at + length].fill(0);
    program[at..at + agent.len()].copy_from_slice(agent.as_bytes());
    program
}
