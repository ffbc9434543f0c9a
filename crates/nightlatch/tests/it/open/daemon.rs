//! With the real daemon on the server.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use nightlatch_lab::stage::{Host, Stage};
use rustix::process::{Pid, Signal, kill_process};

use super::ground::{Laptop, NAME, Programs, shell, stage};
use crate::support::{ASTERISK, Daemon, Installation, wait_until};

const TIMEOUT: Duration = Duration::from_secs(20);

/// A server that is up, with a user of telephony and pages.
fn protect<'a>(stage: &'a Stage, more: &[&str]) -> (Installation<'a>, Daemon) {
    let nightlatch = Installation::on(stage.host("server").unwrap()).with_asterisk();
    let daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    let user = ["user", "add", "anna", "--services", "sip,web", "--keys", "spa"];
    nightlatch.must(&[&user, more].concat());
    (nightlatch, daemon)
}

/// The card of the user, as text that is printed or as what is written to a file.
fn cards(nightlatch: &Installation<'_>) -> [String; 2] {
    let file = nightlatch.directory().join("card.txt");
    let path = file.to_str().unwrap();
    let card = ["user", "card", "anna", "--host", NAME];
    let printed = nightlatch.must(&card);
    nightlatch.must(&[&card[..], &["--again", "--text", path]].concat());
    let written = std::fs::read_to_string(file).unwrap();
    [printed, written]
}

fn leases(nightlatch: &Installation<'_>) -> Vec<IpAddr> {
    let leases = nightlatch.json(&["leases"]);
    let mut found: Vec<IpAddr> = leases["leases"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lease| lease["address"].as_str().unwrap().parse().unwrap())
        .collect();
    found.sort_unstable();
    found
}

fn reaches(from: &Host, server: IpAddr) -> bool {
    let connect =
        || TcpStream::connect_timeout(&SocketAddr::new(server, 443), Duration::from_millis(500));
    from.run(connect).unwrap().is_ok()
}

#[test]
fn a_real_server_is_opened_and_closed() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let laptop = Laptop::of(&stage, &[server.v4(), server.v6()]);
    let own = [laptop.host.v4(), laptop.host.v6()];
    let (nightlatch, _daemon) = protect(&stage, &[]);
    let _programs = Programs::on(server, &[5060], &[80, 443, 5060]);
    for text in cards(&nightlatch) {
        let card = laptop.file("card", &text);
        assert!(!reaches(laptop.host, server.v4()) && !reaches(laptop.host, server.v6()));
        let (report, code) = laptop.json(&[NAME, "--card", &card]);
        let paths = report["paths"].as_array().unwrap();
        assert!(paths.iter().all(|it| it["state"] == "open" && it["packets"] == 1), "{report}");
        assert_eq!((code, paths.len()), (Some(0), 2), "{report}");
        assert_eq!(leases(&nightlatch), own);
        assert!(reaches(laptop.host, server.v4()) && reaches(laptop.host, server.v6()));
        let said = laptop.must_exit(0, &[NAME, "--card", &card]);
        assert!(said.contains("was open already"), "{said}");
        let said = laptop.must_exit(0, &[NAME, "--card", &card, "--close", "-6"]);
        assert!(said.contains("IPv6  closed: [2001:db8:1::1]:"), "{said}");
        assert_eq!(leases(&nightlatch), own[..1]);
        let said = laptop.must_exit(0, &[NAME, "--card", &card, "--close"]);
        assert!(said.contains("IPv4  closed: 198.51.100.1:"), "{said}");
        assert_eq!(leases(&nightlatch), Vec::<IpAddr>::new());
        assert!(!reaches(laptop.host, server.v4()));
    }
    // What the server says of it.
    let said = nightlatch.must(&["log"]);
    assert!(said.contains("anna"), "{said}");
}

#[test]
fn a_real_server_refuses() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let laptop = Laptop::of(&stage, &[server.v4(), server.v6()]);
    let (nightlatch, _daemon) = protect(&stage, &["--require-address"]);
    let _programs = Programs::on(server, &[], &[443]);
    let [card, _] = cards(&nightlatch);
    // The card says that the address is to be named.
    let (good, bad) = (laptop.file("good", &card), card.replace("ALLOW_IP resolve", ""));
    let bad = laptop.file("bad", &bad);
    let said = laptop.must_exit(1, &[NAME, "--card", &bad, "-4"]);
    assert!(said.contains("IPv4  sent, cannot be verified"), "{said}");
    let journal = nightlatch.log();
    assert!(
        journal.contains("an SPA packet of user \"anna\" from 192.0.2.20 was refused"),
        "{journal}"
    );
    let status = nightlatch.must(&["status"]);
    assert!(status.contains("spa: accepted 0, refused 3"), "{status}");
    laptop.must_exit(0, &[NAME, "--card", &good]);
    nightlatch.must(&["user", "rotate", "anna"]);
    for address in leases(&nightlatch) {
        nightlatch.must(&["close", &address.to_string()]);
    }
    laptop.must_exit(1, &[NAME, "--card", &good]);
    assert_eq!(leases(&nightlatch), Vec::<IpAddr>::new());
}

#[test]
fn what_strangers_reach_is_no_proof() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let laptop = Laptop::of(&stage, &[server.v4(), server.v6()]);
    let nightlatch = Installation::on(server);
    nightlatch.configure(&format!("{ASTERISK}\n[open]\nservices = [\"web\"]\n"));
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes", "--mode", "open"]);
    for (user, services) in [("anna", "sip,web"), ("bob", "web")] {
        nightlatch.must(&["user", "add", user, "--services", services]);
    }
    let _programs = Programs::on(server, &[5060], &[80, 443, 5060]);
    let card = |user: &str| {
        let card = nightlatch.must(&["user", "card", user, "--host", NAME]);
        laptop.file(user, &card)
    };
    let (anna, bob) = (card("anna"), card("bob"));
    let (report, code) = laptop.json(&[NAME, "--card", &bob]);
    let all = |report: &serde_json::Value, state: &str| {
        report["paths"].as_array().unwrap().iter().all(|it| it["state"] == state)
    };
    assert!(all(&report, "was_open") && code == Some(0), "{report}");
    let (report, code) = laptop.json(&[NAME, "--card", &anna]);
    assert!(all(&report, "open") && code == Some(0), "{report}");
    // Strangers' requests have limits: not all that is open has to answer.
    let before = report["paths"][0]["answered_before"].as_array().unwrap();
    let after = &report["paths"][0]["answers"][0]["service"];
    assert!(!before.is_empty() && !before.contains(after), "{report}");
    // With keys that count no longer.
    let said = laptop.must_exit(0, &[NAME, "--card", &anna, "--close", "-4"]);
    assert!(said.contains("198.51.100.1:5060 (UDP) no longer answers"), "{said}");
    let said = laptop.must_exit(1, &[NAME, "--card", &bob, "--close", "-6"]);
    assert!(said.contains("not closed: [2001:db8:1::1]:80 (TCP) answers"), "{said}");
    laptop.must_exit(0, &[NAME, "--card", &anna, "--close", "-6"]);
    nightlatch.must(&["user", "rotate", "anna"]);
    let (report, code) = laptop.json(&[NAME, "--card", &anna]);
    assert!(all(&report, "unverified") && code == Some(1), "{report}");
}

#[test]
fn a_real_server_is_kept_open() {
    let Some(stage) = stage() else { return };
    let server = stage.host("server").unwrap();
    let laptop = Laptop::of(&stage, &[server.v4(), server.v6()]);
    let (nightlatch, _daemon) = protect(&stage, &[]);
    let _programs = Programs::on(server, &[5060], &[443]);
    let [card, _] = cards(&nightlatch);
    let card = laptop.file("card", &card);
    let mut child = laptop.command(&[NAME, "--card", &card, "--keep", "--json"]).spawn().unwrap();
    wait_until("both are open", TIMEOUT, || leases(&nightlatch).len() == 2);
    let other: IpAddr = "192.0.2.21".parse().unwrap();
    let change = "ip addr del 192.0.2.20/25 dev eth0; ip addr add 192.0.2.21/25 dev eth0;
        ip route replace default via 192.0.2.126";
    shell(laptop.host, change);
    wait_until("the other address is open", TIMEOUT * 2, || leases(&nightlatch).contains(&other));
    // Somebody closes it: it is opened again when that is noticed.
    nightlatch.must(&["close", "192.0.2.21"]);
    wait_until("it is open again", TIMEOUT * 3, || leases(&nightlatch).contains(&other));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    child.wait().unwrap();
    assert!(leases(&nightlatch).contains(&other), "it stays open");
}
