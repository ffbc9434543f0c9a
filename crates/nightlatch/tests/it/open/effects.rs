//! What is opened and closed, and what is said of it.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use nightlatch_lab::stage::{HostPlan, NetworkPlan, Plan, SERVER};
use nightlatch_parse::spa::Address;
use rustix::process::{Pid, Signal, kill_process};

use super::ground::{Laptop, NAME, Programs, StandIn, card, shell, stage, stage_of};
use crate::support::now;

fn states(report: &serde_json::Value) -> Vec<String> {
    let paths = report["paths"].as_array().unwrap().iter();
    paths.map(|it| format!("{} {}", it["family"], it["state"]).replace('"', "")).collect()
}

#[test]
fn both_families_are_opened_and_closed() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let laptop = Laptop::of(&stage, &[server.v4(), server.v6()]);
    let card = laptop.file("card", &card("tcp/443,udp/5060"));
    let stand_in = StandIn::on(server);
    let _programs = Programs::on(server, &[5060], &[443]);
    let said = laptop.must_exit(0, &[NAME, "--card", &card]);
    for expected in ["IPv4  open: 198.51.100.1:", "IPv6  open: [2001:db8:1::1]:", " answers"] {
        assert!(said.contains(expected), "{said}");
    }
    let got = stand_in.got();
    let sources: BTreeSet<IpAddr> = got.iter().map(|it| it.source).collect();
    assert_eq!(sources, BTreeSet::from([laptop.host.v4(), laptop.host.v6()]));
    assert!(got.iter().all(|it| it.message.address == Address::Source
        && it.message.client_timeout.is_none()
        && it.message.services.len() == 2));

    let (report, code) = laptop.json(&[NAME, "--card", &card]);
    assert_eq!(code, Some(0));
    assert_eq!(states(&report), ["ipv4 was_open", "ipv6 was_open"], "{report}");
    let (report, code) = laptop.json(&[NAME, "--card", &card, "--close", "-4"]);
    assert_eq!((states(&report), code), (vec!["ipv4 closed".to_owned()], Some(0)), "{report}");
    let (report, code) = laptop.json(&[NAME, "--card", &card, "--close"]);
    assert_eq!(states(&report), ["ipv4 closed", "ipv6 closed"], "{report}");
    assert_eq!(
        (code, report["paths"][1]["answered_before"][0].as_str()),
        (Some(0), Some("tcp/443"))
    );
    let last = stand_in.got().pop().unwrap();
    assert_eq!(last.message.client_timeout, Some(1));
}

#[test]
fn any_answer_is_a_proof() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let laptop = Laptop::of(&stage, &[server.v4(), server.v6()]);
    let _stand_in = StandIn::on(server);
    // By SIP alone.
    let sip = laptop.file("sip", &card("udp/5060,udp/10000"));
    let programs = Programs::on(server, &[5060, 10_000], &[]);
    let (report, code) = laptop.json(&[NAME, "--card", &sip]);
    assert_eq!(code, Some(0), "{report}");
    for path in report["paths"].as_array().unwrap() {
        let expected = serde_json::json!([{ "service": "udp/5060", "how": "replied" }]);
        assert_eq!((&path["state"], &path["answers"]), (&"open".into(), &expected), "{report}");
    }
    let heard = programs.heard();
    assert!(heard.iter().all(|it| it.starts_with("OPTIONS sip:")), "{heard:?}");
    assert_eq!(heard.iter().collect::<BTreeSet<_>>().len(), heard.len(), "each is another one");
    laptop.must_exit(0, &[NAME, "--card", &sip, "--close"]);
    // A refused connection.
    let web = laptop.file("web", &card("tcp/443"));
    let said = laptop.must_exit(0, &[NAME, "--card", &web]);
    assert!(said.contains("198.51.100.1:443 (TCP) answers (it refuses the connection"), "{said}");
    assert!(said.contains("[2001:db8:1::1]:443 (TCP) answers (it refuses"), "{said}");
}

#[test]
fn a_packet_that_had_no_effect_is_repeated_and_never_the_same() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let laptop = Laptop::of(&stage, &[server.v4(), server.v6()]);
    let card = laptop.file("card", &card("tcp/443"));
    let _programs = Programs::on(server, &[], &[443]);
    // The first one of each family is lost.
    let stand_in = StandIn::that(server, |number, _| number >= 2);
    let (report, code) = laptop.json(&[NAME, "--card", &card]);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(states(&report), ["ipv4 open", "ipv6 open"], "{report}");
    let got = stand_in.got();
    assert_eq!(got.len(), 4);
    assert_eq!(got.iter().map(|it| &it.payload).collect::<BTreeSet<_>>().len(), 4);
}

#[test]
fn nothing_answers() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let laptop = Laptop::of(&stage, &[server.v4(), server.v6()]);
    let card = laptop.file("card", &card("tcp/443,udp/5060"));
    let _programs = Programs::on(server, &[5060], &[443]);
    let stand_in = StandIn::that(server, |_, _| false);
    let start = now();
    let said = laptop.must_exit(1, &[NAME, "--card", &card]);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    for expected in [
        "IPv4  sent, cannot be verified: nothing answers at 198.51.100.1 tcp/443, udp/5060 (3 packets from 192.0.2.20)",
        "IPv6  sent, cannot be verified: nothing answers at 2001:db8:1::1",
        "- the clock of this computer, which says 20",
        "\"journalctl -u nightlatch\"",
    ] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    assert_eq!(stand_in.got().len(), 6);
    // What is closed stays closed, whatever is sent.
    let (report, code) = laptop.json(&[NAME, "--card", &card, "--close", "-6"]);
    assert_eq!((states(&report), code), (vec!["ipv6 closed".to_owned()], Some(0)));
}

#[test]
fn a_family_that_the_server_or_the_laptop_has_not() {
    let network = NetworkPlan::new("lan-server", &["198.51.100.254/24"]);
    let plan = Plan::standard().without(SERVER).network(network);
    let only_v4 = HostPlan::new(SERVER, "lan-server", &["198.51.100.1/24"]);
    let Some(stage) = stage_of(plan.host(only_v4)) else { return };
    let server = stage.host("server").unwrap();
    let _stand_in = StandIn::on(server);
    let laptop = Laptop::of(&stage, &[server.v4()]);
    let card = laptop.file("card", &card("tcp/443"));
    let said = laptop.must_exit(0, &[NAME, "--card", &card]);
    assert!(said.contains("IPv6  not used: the server has no address of this family"), "{said}");
    // A name with an address at which nobody is.
    laptop.knows(&[server.v4(), "2001:db8:1::1".parse().unwrap()]);
    let (report, code) = laptop.json(&[NAME, "--card", &card]);
    assert_eq!(states(&report), ["ipv4 was_open", "ipv6 unverified"], "{report}");
    assert_eq!(code, Some(1));
    laptop.must_exit(0, &[NAME, "--card", &card, "-4"]);
    // Without a route.
    shell(laptop.host, "ip -6 route flush default; ip -6 route del default || true");
    let (report, code) = laptop.json(&[NAME, "--card", &card]);
    assert_eq!(states(&report), ["ipv4 was_open", "ipv6 no_route"], "{report}");
    assert_eq!(code, Some(0));
    shell(laptop.host, "ip route flush default; ip route del default || true");
    let said = laptop.must_exit(1, &[NAME, "--card", &card]);
    assert!(
        said.contains("no route to 198.51.100.1") && said.contains("Nothing was sent"),
        "{said}"
    );
}

#[test]
fn an_address_that_is_named() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let laptop = Laptop::of(&stage, &[server.v4(), server.v6()]);
    let _programs = Programs::on(server, &[], &[443]);
    let stand_in = StandIn::on(server);
    let own = laptop.file("own", &format!("{}ALLOW_IP: resolve\n", card("tcp/443")));
    let (report, code) = laptop.json(&[NAME, "--card", &own]);
    assert_eq!((states(&report), code), (vec!["ipv4 open".into(), "ipv6 open".into()], Some(0)));
    let named: BTreeSet<Address> = stand_in.got().iter().map(|it| it.message.address).collect();
    let expected = [laptop.host.v4(), laptop.host.v6()].map(Address::Given);
    assert_eq!(named, expected.into());
    laptop.must_exit(0, &[NAME, "--card", &own, "--close"]);
    // Another one: from here it cannot be verified.
    let card = laptop.file("card", &card("tcp/443"));
    let said = laptop.must_exit(1, &[NAME, "--card", &card, "-4", "--address", "203.0.113.7"]);
    assert!(said.contains("sent for 203.0.113.7, cannot be verified"), "{said}");
    // Behind NAT.
    let lines =
        "ip addr add 10.0.0.2/24 dev eth0; ip route replace default via 192.0.2.126 src 10.0.0.2";
    shell(laptop.host, lines);
    let said = laptop.must_exit(1, &[NAME, "--card", &own, "-4"]);
    assert!(said.contains("not sent: 10.0.0.2 is not an address of the internet"), "{said}");
    assert!(said.contains("add --address"), "{said}");
}

#[test]
fn behind_a_router_that_replaces_addresses() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let laptop = Laptop::of(&stage, &[server.v4()]);
    let card = laptop.file("card", &card("tcp/443,udp/5060"));
    let router = "nft 'table ip nat { chain out { type nat hook postrouting priority 100;
        ip saddr 10.0.0.0/24 masquerade; }; }'; ip route add 10.0.0.0/24 via 192.0.2.20";
    shell(stage.host("router").unwrap(), router);
    let own =
        "ip addr add 10.0.0.2/24 dev eth0; ip route replace default via 192.0.2.126 src 10.0.0.2";
    shell(laptop.host, own);
    let _programs = Programs::on(server, &[5060], &[443]);
    let stand_in = StandIn::on(server);
    let (report, code) = laptop.json(&[NAME, "--card", &card]);
    assert_eq!((states(&report)[0].as_str(), code), ("ipv4 open", Some(0)), "{report}");
    assert_eq!(report["paths"][0]["source"], "10.0.0.2");
    let got = stand_in.got();
    assert_eq!((got.len(), got[0].source.to_string()), (1, "198.51.100.254".to_owned()));
    laptop.must_exit(0, &[NAME, "--card", &card, "--close"]);
    // With its address outside, for servers that ask for it.
    let outside = ["--address", "198.51.100.254"];
    let (report, code) = laptop.json(&[&[NAME, "--card", &card][..], &outside].concat());
    assert_eq!((states(&report)[0].as_str(), code), ("ipv4 open", Some(0)), "{report}");
    assert_eq!(report["paths"][0]["named"], "198.51.100.254");
}

#[test]
fn keeps_it_open_over_a_change_of_address() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let laptop = Laptop::of(&stage, &[server.v4(), server.v6()]);
    let card = laptop.file("card", &card("tcp/443,udp/5060"));
    let _programs = Programs::on(server, &[5060], &[443]);
    let stand_in = StandIn::on(server);
    let mut command = laptop.command(&[NAME, "--card", &card, "--keep"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().starts_with("IPv4  open: "));
    assert!(lines.next().unwrap().starts_with("IPv6  open: "));
    assert!(lines.next().unwrap().contains("Ctrl-C ends this; what is open stays open"));
    let start = now();
    let change = "ip addr del 192.0.2.20/25 dev eth0; ip addr add 192.0.2.21/25 dev eth0;
        ip route replace default via 192.0.2.126";
    shell(laptop.host, change);
    let line = lines.next().unwrap();
    assert!(line.contains("IPv4  open: 198.51.100.1:"), "{line}");
    assert!(line.ends_with("(the own address is 192.0.2.21 now)"), "{line}");
    let took = start.elapsed();
    assert!(took > Duration::from_secs(5) && took < Duration::from_secs(30), "{took:?}");
    assert_eq!(stand_in.got().last().unwrap().source.to_string(), "192.0.2.21");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    assert_eq!(lines.next(), None, "nothing is said at the end");
}
