//! The demo: what its scans find on an open server, and on a protected one.

mod command;

use std::collections::HashSet;
use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use nightlatch_lab::packet::{Listener, flags};
use nightlatch_lab::report::{Answer, Reach, Report};
use nightlatch_lab::scan::Scanner;
use nightlatch_lab::stage::Plan;
use nightlatch_lab::standin::{self, StandIn};
use nightlatch_lab::{demo, scan};

use crate::support;

#[test]
fn an_open_server_is_seen_whole() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let _stand_in = StandIn::in_host(server).unwrap();
    for target in [server.v4(), server.v6()] {
        let reach = scan::reach(stage.host("attacker").unwrap(), target).unwrap();
        assert_eq!(reach.tcp.open, standin::TCP_PORTS);
        assert_eq!(reach.tcp.refused, 65_535 - standin::TCP_PORTS.len());
        assert_eq!(reach.udp.open, standin::UDP_PORTS);
        assert_eq!(reach.udp.silent, 0);
        let answers: Vec<_> = reach.sip.iter().map(|probe| probe.answer.clone()).collect();
        let reply = |line: &str| Answer::Reply(line.to_owned());
        assert_eq!(answers, [reply("SIP/2.0 200 OK"), reply("SIP/2.0 401 Unauthorized")]);
        // Each of the odd packets has to have an answer, or its later silence would prove nothing.
        for probe in &reach.probes {
            assert_ne!(probe.answer, Answer::Silence, "{}", probe.name);
        }
    }
}

/// A rough firewall in place of ours: the office may do everything, the traveller SIP.
const ROUGH: &str = "
table inet rough {
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established accept
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        ip saddr 203.0.113.10 accept
        ip6 saddr 2001:db8:2::10 accept
        ip saddr 192.0.2.20 udp dport 5060 accept
        ip6 saddr 2001:db8:3::20 udp dport 5060 accept
    }
}";

#[test]
fn a_firewall_between_the_two_looks_shows_in_the_report() {
    if support::stage(&Plan::empty()).is_none() || !support::installed(&["nft"]) {
        return;
    }
    let mut steps = Vec::new();
    let report = demo::play(
        |step| steps.push(step.to_owned()),
        |stage| {
            let mut nft = stage.host("server")?.command("nft");
            let mut nft = nft.args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
            nft.stdin.take().unwrap().write_all(ROUGH.as_bytes())?;
            assert!(nft.wait()?.success());
            Ok(Vec::new())
        },
    )
    .unwrap();
    assert_eq!(steps.len(), 5);

    let reach = |name: &str| -> Vec<&Reach> {
        report.after.iter().filter(|reach| reach.from == name).collect()
    };
    for reach in reach("attacker") {
        assert_eq!((reach.tcp.answering(), reach.tcp.silent), (0, 65_535));
        assert_eq!((reach.udp.answering(), reach.udp.silent), (0, reach.udp.tried));
        assert!(reach.sip.iter().all(|probe| probe.answer == Answer::Silence));
    }
    for reach in reach("traveller") {
        assert_eq!((reach.tcp.answering(), reach.udp.open.as_slice()), (0, &[5060_u16][..]));
        assert!(reach.sip.iter().all(|probe| probe.answer != Answer::Silence));
    }
    for (before, after) in report.before.iter().zip(&report.after).take(2) {
        assert_eq!(before, after, "nothing has changed for the office");
    }
    assert!(report.table().contains("65,535"));
    assert_eq!(
        report.conclusion("attacker"),
        "For the attacker the server does not exist: nothing answered, by IPv4 or IPv6."
    );
    assert!(!report.is_visible_to("attacker") && report.is_visible_to("traveller"));
}

#[test]
fn every_packet_of_a_scan_arrives_where_silence_is_reported() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let attacker = stage.host("attacker").unwrap();
    // Silence by an own means: the server has no way back to the attacker.
    for (family, network) in [("-4", "192.0.2.128/25"), ("-6", "2001:db8:66::/64")] {
        let route = [family, "route", "add", "blackhole", network];
        assert!(server.command("ip").args(route).status().unwrap().success());
    }
    let mut listener = Listener::in_host(server).unwrap();
    for target in [server.v4(), server.v6()] {
        let ports = std::thread::scope(|scope| {
            let scan = scope.spawn(|| Scanner::in_host(attacker, target)?.tcp_ports());
            let mut seen = HashSet::new();
            while !scan.is_finished() {
                for caught in listener.gather(Duration::from_millis(20)).unwrap() {
                    let syn = caught.tcp_flags() == Some(flags::SYN);
                    seen.extend(caught.target().filter(|_| syn).map(|target| target.port()));
                }
            }
            assert_eq!(scan.join().unwrap().unwrap().silent, 65_535);
            seen
        });
        assert_eq!(ports.len(), 65_535);
    }
}

#[test]
fn a_report_without_attempts_proves_nothing() {
    assert!(Report::default().is_visible_to("attacker"));
}
