//! Port knocking with real clients, the real daemon and the real kernel, and with the daemon killed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan, Stage};

use super::ground::{Echo, TIMEOUT, answers_udp, both, connect, ignores_tcp, protect, shell};
use crate::support::{self, Installation, wait_until};

fn hosts(stage: &Stage) -> (&Host, &Host) {
    (stage.host("server").unwrap(), stage.host("traveller").unwrap())
}

/// Makes a user who may knock, and returns the ports.
pub(super) fn knocker(nightlatch: &Installation<'_>, user: &str, services: &str) -> [String; 3] {
    nightlatch.must(&["user", "add", user, "--services", services, "--keys", "knock"]);
    let file = std::path::PathBuf::from(nightlatch.directory()).join("card");
    nightlatch.must(&["user", "card", user, "--again", "--text", file.to_str().unwrap()]);
    let card = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(file).unwrap();
    let knock = card.lines().find_map(|line| line.strip_prefix("KNOCK: ")).unwrap();
    knock.split(' ').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()
}

/// Each client, and the command by which it sends one SYN each.
fn clients(to: IpAddr, [a, b, c]: &[String; 3]) -> Vec<(&'static str, String)> {
    let (family, quick) = if to.is_ipv4() { ("", "-4") } else { ("-6", "-6") };
    vec![
        ("knock", format!("knock {quick} -d 50 {to} {a} {b} {c}")),
        (
            "nmap",
            format!(
                "for port in {a} {b} {c}; do nmap {family} -n -Pn --max-retries 0 -p $port {to}; done >/dev/null"
            ),
        ),
    ]
}

#[test]
fn real_clients_open_for_their_own_address() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, phone) = hosts(&stage);
    let (nightlatch, _daemon) = protect(server, "");
    let _echo = Echo::on(server, &[5060], &[22, 443]);
    let ports = knocker(&nightlatch, "anna", "sip,web");
    for (own, from) in both(server).into_iter().zip(both(phone)) {
        let web = SocketAddr::new(own, 443);
        for (client, command) in clients(own, &ports) {
            if !support::installed(&[client]) {
                continue;
            }
            assert!(ignores_tcp(phone, web), "{client} {own}: nobody has knocked");
            shell(phone, &command);
            wait_until(&format!("{client} opens {own}"), TIMEOUT, || connect(phone, web).is_ok());
            assert!(answers_udp(phone, SocketAddr::new(own, 5060)), "{client} {own}");
            assert!(ignores_tcp(phone, SocketAddr::new(own, 22)), "ssh was not named");
            let leases = nightlatch.json(&["leases"]);
            let lease = &leases["leases"][0];
            assert_eq!(lease["address"], from.to_string().as_str(), "{leases}");
            assert_eq!((&lease["user"], &lease["credential"]), (&"anna".into(), &"knock".into()));
            nightlatch.must(&["close", &from.to_string()]);
            assert!(ignores_tcp(phone, web), "{client} {own}: it is closed");
        }
    }
    let [a, b, c] = &ports;
    let [own, _] = both(server);
    shell(phone, &format!("knock {own} {c} {b} {a}"));
    assert!(ignores_tcp(phone, SocketAddr::new(own, 443)), "the wrong order");
    // The kernel tells of everything by its sets, which root alone can read.
    nightlatch.must(&["user", "rotate", "anna", "--keys", "knock"]);
    shell(phone, &format!("knock {own} {a} {b} {c}"));
    assert!(ignores_tcp(phone, SocketAddr::new(own, 443)), "the sequence was replaced");
    let log = nightlatch.must(&["log"]);
    assert!(log.contains("open") && log.contains("anna"), "{log}");
}

#[test]
fn it_works_while_the_daemon_is_dead() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["knock"]) {
        return;
    }
    let (server, phone) = hosts(&stage);
    let (nightlatch, daemon) = protect(server, "");
    let _echo = Echo::on(server, &[5060], &[443]);
    let [a, b, c] = knocker(&nightlatch, "anna", "sip,web");
    // An address that is denied, because what was open there was ended.
    let denied = both(phone)[0].to_string();
    nightlatch.must(&["lease", "anna", &denied]);
    nightlatch.must(&["close", &denied]);
    drop(daemon);
    for own in both(server) {
        let family = if own.is_ipv4() { "-4" } else { "-6" };
        assert!(ignores_tcp(phone, SocketAddr::new(own, 443)));
        shell(phone, &format!("knock {family} -d 20 {own} {a} {b} {c}"));
        assert!(connect(phone, SocketAddr::new(own, 443)).is_ok(), "{own}");
        assert!(answers_udp(phone, SocketAddr::new(own, 5060)), "{own}");
    }
    // The daemon makes one lease of each, however often it is started.
    for _ in 0..2 {
        let _daemon = nightlatch.daemon();
        wait_until("the leases are there", TIMEOUT, || {
            nightlatch.json(&["leases"])["leases"].as_array().unwrap().len() == 2
        });
        let set = "nft list set inet nightlatch knocked4";
        wait_until("the note is taken", TIMEOUT, || !shell(server, set).contains("expires"));
        for own in both(server) {
            assert!(connect(phone, SocketAddr::new(own, 443)).is_ok(), "{own}");
        }
    }
    let log = nightlatch.must(&["log", "--json"]);
    let is_opening =
        |line: &&str| line.contains("\"action\":\"open\"") && line.contains("\"knock\"");
    assert_eq!(log.lines().filter(is_opening).count(), 2, "{log}");
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["user", "revoke", "anna"]);
    for own in both(server) {
        assert!(ignores_tcp(phone, SocketAddr::new(own, 443)), "{own}: revoked");
    }
}

#[test]
fn all_three_must_come_within_fifteen_seconds() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["knock"]) {
        return;
    }
    let (server, phone) = hosts(&stage);
    let (nightlatch, _daemon) = protect(server, "");
    let _echo = Echo::on(server, &[], &[443]);
    let [a, b, c] = knocker(&nightlatch, "anna", "web");
    let own = both(server)[0];
    let web = SocketAddr::new(own, 443);
    let knock = |ports: &str| drop(shell(phone, &format!("knock {own} {ports}")));
    knock(&a);
    std::thread::sleep(Duration::from_secs(8));
    knock(&format!("{a} {b}"));
    std::thread::sleep(Duration::from_secs(8));
    knock(&c);
    assert!(ignores_tcp(phone, web), "sixteen seconds since the first");
    knock(&format!("{a} {a} {b} {a} {b}"));
    std::thread::sleep(Duration::from_secs(8));
    // To a service, which does not matter.
    assert!(ignores_tcp(phone, web));
    knock(&c);
    wait_until("it opens", TIMEOUT, || connect(phone, web).is_ok());
}
