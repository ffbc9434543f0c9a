//! A trunk: baresip is the PBX and registers for an hour at a carrier without an account.

use std::net::TcpStream;

use nightlatch_lab::stage::{Host, Stage};

use super::super::super::ground::{TIMEOUT as SOON, protect, run, shell};
use super::super::ends::{learned, shown};
use super::baresip::Baresip;
use super::{
    CARRIER, MEDIA, Phone, Program, TIMEOUT, has_succeeded, is_forgotten, kamailio, shorten_memory,
    sipp, stage,
};
use crate::support::wait_until;

/// "music" at the carrier answers and hangs up after some seconds.
const HANGS_UP: &str = r#"<?xml version="1.0"?>
<scenario name="answers and hangs up">
<recv request="INVITE" crlf="true" rrs="true">
  <action>
    <ereg regexp=".*" search_in="hdr" header="From:" assign_to="1"/>
    <ereg regexp=".*" search_in="hdr" header="To:" assign_to="2"/>
  </action>
</recv>
<send retrans="500"><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=music
[last_Call-ID:]
[last_CSeq:]
[last_Record-Route:]
Contact: <sip:[local_ip]:[local_port]>
Content-Type: application/sdp
Content-Length: [len]

v=0
o=music 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 0
a=rtpmap:0 PCMU/8000
]]></send>
<recv request="ACK"/>
<pause milliseconds="6000"/>
<send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From:[$2];tag=music
To:[$1]
[last_Call-ID:]
CSeq: 7 BYE
[routes]
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200"/>
</scenario>
"#;

/// An inbound call, from the media address through the carrier to the PBX. It lasts so long that
/// connection tracking drops the signalling flow before the hang-up.
fn inbound(carrier: &Host, place: &std::path::Path, length: &str) -> Program {
    let mut arguments = vec!["-sn", "uac", "-s", "pbx", "-p", "5080", "-mp", "7000"];
    arguments.extend(["-d", length, "192.0.2.166:5060"]);
    Program::start(sipp(carrier, MEDIA, place, &arguments), &place.join("inbound"))
}

fn pbx(stage: &Stage, place: &std::path::Path, transport: &str, more: &str) -> Baresip {
    let server = stage.host("server").unwrap();
    let account = format!("<sip:pbx@192.0.2.166;transport={transport}>;audio_codecs=PCMU{more}");
    let pbx = Baresip::start(server, &server.v4().to_string(), place, &account, "asterisk");
    pbx.is_registered();
    pbx
}

/// Before, the INVITE was dropped, and so was the hang-up of any call that was set up.
#[test]
fn calls_come_in_and_hang_ups_arrive_over_a_registered_trunk() {
    let Some(stage) = stage() else { return };
    let (server, carrier) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    shorten_memory(server);
    let (nightlatch, _daemon) = protect(server, "");
    let place = nightlatch.directory();
    let _registrar = kamailio(carrier, "192.0.2.166", place, CARRIER);
    let mut pbx = pbx(&stage, place, "udp", ";regint=3600;answermode=auto");
    assert_eq!(learned(server, "registered"), ["192.0.2.166 . 5060 . 5060"]);
    is_forgotten(server);
    let call = inbound(carrier, place, "7000");
    pbx.waits_for("CALL_ESTABLISHED");
    // Its media come from another address once the PBX sends.
    wait_until("media run in both directions", TIMEOUT, || {
        run(server, "conntrack -L -p udp").lines().any(|flow| {
            flow.contains(MEDIA) && flow.contains("port=7000") && !flow.contains("UNREPLIED")
        })
    });
    is_forgotten(server);
    pbx.waits_for("CALL_CLOSED");
    has_succeeded(call, place, "inbound");

    // An outbound call, which the carrier ends.
    std::fs::write(place.join("hangs-up.xml"), HANGS_UP).unwrap();
    let arguments = ["-sf", "hangs-up.xml", "-p", "5070", "-mp", "7010"];
    let music = Program::start(sipp(carrier, MEDIA, place, &arguments), &place.join("music"));
    wait_until("it listens", TIMEOUT, || run(carrier, "ss -Hlnu").contains(":5070"));
    pbx.dials("sip:music@192.0.2.166");
    pbx.waits_for("CALL_ESTABLISHED");
    is_forgotten(server);
    pbx.waits_for("CALL_CLOSED");
    has_succeeded(music, place, "music");
    assert_eq!(learned(server, "cut"), Vec::<String>::new());
}

/// Before, the PBX's own "200 OK" to the ringing call put the trunk on the list of cut flows.
#[test]
fn up_while_a_call_rings_does_not_disable_the_trunk() {
    let Some(stage) = stage() else { return };
    let (server, carrier) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let nightlatch = crate::support::Installation::on(server).with_asterisk();
    let place = nightlatch.directory();
    let _registrar = kamailio(carrier, "192.0.2.166", place, CARRIER);
    let mut pbx = pbx(&stage, place, "udp", ";regint=10;answermode=manual");
    let ringing = inbound(carrier, place, "2000");
    pbx.waits_for("CALL_INCOMING");
    shorten_memory(server);
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    pbx.does("accept", "");
    pbx.waits_for("CALL_LOCAL_SDP");
    drop(ringing);
    pbx.hangs_up();
    // The next two registrations are answered.
    pbx.events();
    pbx.waits_for("REGISTER_OK");
    pbx.waits_for("REGISTER_OK");
    assert_eq!(learned(server, "cut"), Vec::<String>::new());
    is_forgotten(server);
    let call = inbound(carrier, place, "3000");
    pbx.waits_for("CALL_INCOMING");
    pbx.does("accept", "");
    pbx.waits_for("CALL_ESTABLISHED");
    has_succeeded(call, place, "inbound");
}

/// Before, a connection opened by the carrier was treated as a stranger's.
#[test]
fn over_tcp_a_registrar_may_open_connections() {
    let Some(stage) = stage() else { return };
    let (server, carrier) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let nightlatch = crate::support::Installation::on(server).with_asterisk();
    let place = nightlatch.directory();
    let _registrar = kamailio(carrier, "192.0.2.166", place, CARRIER);
    let mut pbx = pbx(&stage, place, "tcp", ";regint=3600;answermode=auto");
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    wait_until("the daemon has seen the connection", TIMEOUT, || {
        shown(server, "set registered_tcp4").contains("192.0.2.166")
    });
    let call = inbound(carrier, place, "3000");
    pbx.waits_for("CALL_ESTABLISHED");
    // Kamailio has opened a new connection to the contact.
    let begun = "src=192.0.2.166 dst=198.51.100.1 sport=";
    let flows = run(server, "conntrack -L -p tcp --state ESTABLISHED --dport 5060");
    assert!(flows.contains(begun) && flows.contains("dport=5060"), "{flows}");
    has_succeeded(call, place, "inbound");
    shell(server, "nft flush ruleset; conntrack -F 2> /dev/null");
    wait_until("the table is restored", SOON, || {
        shown(server, "set registered_tcp4").contains("192.0.2.166")
    });
    let call = inbound(carrier, place, "3000");
    pbx.waits_for("CALL_ESTABLISHED");
    has_succeeded(call, place, "inbound");
    // Nobody else may open one.
    let stranger = stage.host("office").unwrap();
    let target = std::net::SocketAddr::new(server.v4(), 5060);
    let wait = std::time::Duration::from_millis(400);
    assert!(stranger.run(|| TcpStream::connect_timeout(&target, wait)).unwrap().is_err());
}
