//! What the host itself begins gets its answers, from anybody.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

use nightlatch_lab::stage::Plan;

use super::ground::{
    Echo, TIMEOUT, answers_udp, both, connect, echoes, ignores_tcp, ignores_udp, protect, run,
    unspecified,
};
use crate::support::{self, now};

#[test]
fn what_the_host_begins_gets_answers() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, stranger) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let (_nightlatch, _daemon) = protect(server, "");
    let _echo = Echo::on(stranger, &[53, 5060], &[443]);
    let _own = Echo::on(server, &[5060], &[443]);
    for (own, target) in both(server).into_iter().zip(both(stranger)) {
        let mut stream = connect(server, SocketAddr::new(target, 443)).unwrap();
        assert!(echoes(&mut stream, TIMEOUT));
        assert!(answers_udp(server, SocketAddr::new(target, 53)));
        // A large answer in fragments.
        let large = server.run(|| UdpSocket::bind(unspecified(SocketAddr::new(target, 53))));
        let large = large.unwrap().unwrap();
        large.connect(SocketAddr::new(target, 53)).unwrap();
        large.set_read_timeout(Some(TIMEOUT)).unwrap();
        large.send(&[7; 2000]).unwrap();
        assert_eq!(large.recv(&mut [0; 4000]).unwrap(), 2000);
        // Meanwhile the same stranger cannot begin anything.
        assert!(ignores_udp(stranger, SocketAddr::new(own, 5060)));
        assert!(ignores_tcp(stranger, SocketAddr::new(own, 443)));
    }
}

#[test]
fn ping_and_traceroute_from_the_host_work() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, stranger) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let (_nightlatch, _daemon) = protect(server, "");
    for target in both(stranger) {
        run(server, &format!("ping -c1 -W5 {target}"));
        // The router on the way says that the time to live is over.
        let mut ping = server.command("ping");
        ping.args(["-c1", "-t1", "-W5", &target.to_string()]);
        let text = support::told(&ping.output().unwrap());
        assert!(text.contains("Time to live") || text.contains("Time exceeded"), "{text}");
        // "Port unreachable" reaches the program that asked.
        let socket = server.run(|| UdpSocket::bind(unspecified(SocketAddr::new(target, 9))));
        let socket = socket.unwrap().unwrap();
        socket.connect(SocketAddr::new(target, 9)).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        socket.send(b"anyone?").unwrap();
        let refused = socket.recv(&mut [0; 10]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        // A closed port says so at once.
        let start = now();
        let refused = connect(server, SocketAddr::new(target, 81)).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(start.elapsed() < TIMEOUT / 2);
    }
}
