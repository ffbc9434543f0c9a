//! SIP over TCP: a removed phone's connections end at both sides, and no new ones begin.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use nightlatch_lab::stage::Host;

use super::super::ground::{
    Echo, TIMEOUT, any, both, connect, echoes, ignores_tcp, patiently, shell,
};
use super::ends::{forget_flows, shown};
use super::{Scene, allow, stage};
use crate::support::wait_until;

/// A connection between two hosts, and both ends of it.
pub(super) struct Connection {
    pub(super) begins: TcpStream,
    pub(super) answers: TcpStream,
}

pub(super) fn connection(from: &Host, listener: &TcpListener, target: SocketAddr) -> Connection {
    let begins = connect(from, target).unwrap();
    let (answers, _) = listener.accept().unwrap();
    for stream in [&begins, &answers] {
        stream.set_nonblocking(true).unwrap();
        stream.set_nodelay(true).unwrap();
    }
    Connection { begins, answers }
}

/// Whether what one end writes arrives at the other.
pub(super) fn passes(from: &mut TcpStream, to: &mut TcpStream) -> bool {
    from.write_all(b"hello").is_ok() && {
        std::thread::sleep(Duration::from_millis(50));
        to.read(&mut [0; 100]).is_ok_and(|length| length > 0)
    }
}

fn is_reset(stream: &mut TcpStream) {
    wait_until("the local socket is reset", TIMEOUT, || {
        let written = stream.write(b"still there?").map(|_| ());
        let read = stream.read(&mut [0; 100]).map(|_| ());
        let reset = |result: &io::Result<()>| {
            result.as_ref().is_err_and(|error| {
                matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
            })
        };
        reset(&written) || reset(&read)
    });
}

/// The other end receives nothing: no data, no reset, no FIN.
fn hears_nothing(stream: &mut TcpStream) {
    let _ = stream.write(b"anybody?");
    std::thread::sleep(Duration::from_millis(100));
    let heard = stream.read(&mut [0; 100]);
    assert_eq!(heard.map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
}

fn is_refused(from: &Host, target: SocketAddr) {
    let refused = connect(from, target).map(|_| ());
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::ConnectionRefused));
}

/// Neither side can open a SIP connection; this host's other connections work.
fn is_gone(server: &Host, phone: &Host) {
    for (own, theirs) in both(server).into_iter().zip(both(phone)) {
        assert!(ignores_tcp(phone, SocketAddr::new(own, 5060)));
        assert!(ignores_tcp(phone, SocketAddr::new(own, 5061)));
        for port in [5060, 5061] {
            is_refused(server, SocketAddr::new(theirs, port));
        }
        let mut stream = connect(server, SocketAddr::new(theirs, 443)).unwrap();
        assert!(echoes(&mut stream, TIMEOUT));
    }
}

/// Before, the other direction continued, and the PBX could open a new connection at any time.
#[test]
fn connections_of_a_removed_phone_end_and_none_begins() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "");
    let (server, office) = (scene.server, stage.host("office").unwrap());
    let pbx = patiently(server, || TcpListener::bind(any(5060)));
    let phone = patiently(office, || TcpListener::bind(any(5060)));
    let _tls = Echo::on(office, &[], &[5061, 443]);
    let _own_tls = Echo::on(server, &[], &[5061]);
    for flows_run in [true, false] {
        allow(&scene.nightlatch, "phone", office, "sip,sip-tls");
        let theirs = both(server).map(|at| connection(office, &pbx, SocketAddr::new(at, 5060)));
        let ours = both(office).map(|at| connection(server, &phone, SocketAddr::new(at, 5060)));
        let mut connections: Vec<(TcpStream, TcpStream)> = theirs
            .into_iter()
            .map(|it| (it.answers, it.begins))
            .chain(ours.into_iter().map(|it| (it.begins, it.answers)))
            .collect();
        for (ours, theirs) in &mut connections {
            wait_until("it runs", TIMEOUT, || passes(ours, theirs) && passes(theirs, ours));
        }
        if !flows_run {
            forget_flows(server);
        }
        scene.nightlatch.must(&["remove", "phone"]);
        for (ours, theirs) in &mut connections {
            let _ = theirs.read(&mut [0; 1000]);
            is_reset(ours);
            hears_nothing(theirs);
        }
        is_gone(server, office);
    }
    shell(server, "nft flush ruleset; conntrack -F 2> /dev/null");
    wait_until("the table is restored", TIMEOUT, || {
        shown(server, "map closed_out6").contains("elements")
    });
    is_gone(server, office);
    allow(&scene.nightlatch, "phone", office, "sip");
    for (own, theirs) in both(server).into_iter().zip(both(office)) {
        connection(office, &pbx, SocketAddr::new(own, 5060));
        connection(server, &phone, SocketAddr::new(theirs, 5060));
    }
}

/// Before, the phone still received packets. A denial must not affect what another account allows.
#[test]
fn what_another_account_grants_stays() {
    let Some(stage) = stage() else { return };
    let scene = Scene::guarded(&stage, "");
    let (server, office) = (scene.server, stage.host("office").unwrap());
    let web = patiently(server, || TcpListener::bind(any(80)));
    allow(&scene.nightlatch, "pages", office, "web");
    allow(&scene.nightlatch, "phone", office, "sip");
    let phone = super::removed::Phone::on(office, server);
    phone.is_in(&scene);
    let mut running = both(server).map(|at| connection(office, &web, SocketAddr::new(at, 80)));
    scene.nightlatch.must(&["remove", "phone"]);
    for Connection { begins, answers } in &mut running {
        wait_until("the connection continues", TIMEOUT, || {
            passes(begins, answers) && passes(answers, begins)
        });
    }
    phone.is_gone(&scene);
    for own in both(server) {
        connection(office, &web, SocketAddr::new(own, 80));
    }
    // The network around it has an account, too.
    scene.nightlatch.must(&[
        "allow",
        "net",
        "203.0.113.0/24",
        "2001:db8:2::/64",
        "--services",
        "sip",
    ]);
    phone.is_in(&scene);
    allow(&scene.nightlatch, "phone", office, "sip");
    scene.nightlatch.must(&["remove", "phone"]);
    phone.is_in(&scene);
    scene.nightlatch.must(&["remove", "net"]);
    phone.is_gone(&scene);
    connection(office, &web, SocketAddr::new(server.v6(), 80));
}
