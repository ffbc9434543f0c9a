//! SPA packets and secret user agents: who sends a genuine one gets in, and nobody is answered.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use nightlatch::shell::clock;
use nightlatch_lab::stage::{Host, Plan, Stage};
use nightlatch_parse::spa::{Address, Keys, Message, Protocol, Service};

use super::ground::{
    Echo, SILENCE, TIMEOUT, any, asks_from, both, connect, ignores_tcp, ignores_udp, patiently,
    protect, shell, unspecified,
};
use crate::support::{self, Installation, told, wait_until};

/// A person with a card.
pub(super) struct Client {
    port: u16,
    keys: Keys,
    pub(super) card: BTreeMap<String, String>,
}

impl Client {
    /// Makes a user for these services.
    pub(super) fn of(
        nightlatch: &Installation<'_>,
        user: &str,
        services: &str,
        more: &[&str],
    ) -> Client {
        let add = ["user", "add", user, "--services", services, "--keys", "spa,agent"];
        nightlatch.must(&[&add, more].concat());
        let file = nightlatch.directory().join("card-to-read");
        nightlatch.must(&["user", "card", user, "--text", file.to_str().unwrap()]);
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(file).unwrap();
        let lines = text.lines().filter_map(|line| line.split_once(": "));
        let card: BTreeMap<String, String> =
            lines.map(|(word, value)| (word.to_owned(), value.to_owned())).collect();
        let keys = Keys::new(card["KEY"].as_bytes(), card["HMAC_KEY"].as_bytes()).unwrap();
        Client { port: card["SPA_SERVER_PORT"].parse().unwrap(), keys, card }
    }

    /// A message of now for an address, or for its source.
    pub(super) fn message(&self, address: Option<IpAddr>, lasts: Option<u32>) -> Vec<u8> {
        let tcp = Service { protocol: Protocol::Tcp, port: 443 };
        let udp = Service { protocol: Protocol::Udp, port: 5060 };
        let now = clock::now();
        let message = Message {
            user: "anna".to_owned(),
            time: u64::try_from(now.millis() / 1000).unwrap(),
            address: address.map_or(Address::Source, Address::Given),
            services: vec![tcp, udp],
            client_timeout: lasts,
        };
        // Two within a millisecond would be the same.
        std::thread::sleep(Duration::from_millis(2));
        let random = u128::try_from(now.millis()).unwrap();
        message.write(&self.keys, random << 64 | random).unwrap().into_bytes()
    }

    pub(super) fn send(&self, from: &Host, to: IpAddr, payload: &[u8]) {
        let target = SocketAddr::new(to, self.port);
        let socket = from.run(|| UdpSocket::bind(unspecified(target))).unwrap().unwrap();
        socket.send_to(payload, target).unwrap();
    }
}

fn hosts(stage: &Stage) -> (&Host, &Host, &Host) {
    let host = |name| stage.host(name).unwrap();
    (host("server"), host("traveller"), host("attacker"))
}

fn answers(from: &Host, target: SocketAddr) {
    let socket = from.run(|| UdpSocket::bind(unspecified(target))).unwrap().unwrap();
    assert!(asks_from(&socket, target, TIMEOUT), "{target} does not answer");
}

#[test]
fn a_message_opens_its_source_and_no_repetition_opens_another() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, phone, attacker) = hosts(&stage);
    let (nightlatch, daemon) = protect(server, "");
    let _echo = Echo::on(server, &[5060], &[22, 443]);
    let client = Client::of(&nightlatch, "anna", "sip,web", &[]);
    for own in both(server) {
        let message = client.message(None, None);
        assert!(ignores_udp(phone, SocketAddr::new(own, 5060)));
        client.send(phone, own, &message);
        answers(phone, SocketAddr::new(own, 5060));
        assert!(connect(phone, SocketAddr::new(own, 443)).is_ok());
        assert!(ignores_tcp(phone, SocketAddr::new(own, 22)));
        client.send(attacker, own, &message);
        assert!(ignores_udp(attacker, SocketAddr::new(own, 5060)));
    }
    wait_until("the repetition is told", TIMEOUT, || nightlatch.log().contains("was used before"));
    // The record of used messages is on disk: they are refused by the next daemon too.
    let [own, _] = both(server);
    let message = client.message(None, None);
    let since = || nightlatch.json(&["leases"])["leases"][0]["since"].clone();
    let first = since();
    client.send(phone, own, &message);
    wait_until("it counts", TIMEOUT, || since() != first);
    daemon.kill();
    let _daemon = nightlatch.daemon();
    client.send(attacker, own, &message);
    wait_until("it is told", TIMEOUT, || nightlatch.log().contains("was used before"));
    assert!(ignores_udp(attacker, SocketAddr::new(own, 5060)));
    // One second is an end.
    client.send(phone, own, &client.message(None, Some(1)));
    wait_until("it is closed", TIMEOUT, || {
        let leases = nightlatch.json(&["leases"]);
        !leases["leases"].to_string().contains(&both(phone)[0].to_string())
    });
    assert!(ignores_udp(phone, SocketAddr::new(own, 5060)));
    // What was closed opens again.
    client.send(phone, own, &client.message(None, None));
    answers(phone, SocketAddr::new(own, 5060));
    let status = nightlatch.json(&["status"]);
    assert_eq!(status["credentials"]["spa"]["accepted"], 1, "{status}");
}

#[test]
fn what_is_refused_is_told_with_its_reason() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, phone, attacker) = hosts(&stage);
    let (nightlatch, _daemon) = protect(server, "");
    let _echo = Echo::on(server, &[5060], &[]);
    let client = Client::of(&nightlatch, "anna", "ssh", &[]);
    let [own, _] = both(server);
    let elsewhere = client.message(Some(both(attacker)[0]), None);
    client.send(phone, own, &elsewhere);
    wait_until("the address is named", TIMEOUT, || {
        nightlatch.log().contains(&format!("it is for {}", both(attacker)[0]))
    });
    client.send(phone, own, &client.message(None, None));
    wait_until("the ports are named", TIMEOUT, || {
        nightlatch.log().contains("it asks for tcp/443, udp/5060")
    });
    // A user who may name other addresses.
    nightlatch.must(&["user", "set", "anna", "--services", "sip", "--any-address"]);
    nightlatch.must(&["user", "set", "anna", "--require-address"]);
    client.send(phone, own, &client.message(None, None));
    wait_until("it is told", TIMEOUT, || nightlatch.log().contains("it names no address"));
    client.send(phone, own, &client.message(Some(both(attacker)[0]), None));
    answers(attacker, SocketAddr::new(own, 5060));
    assert!(ignores_udp(phone, SocketAddr::new(own, 5060)));
    let shown = nightlatch.json(&["user", "show", "anna"]);
    assert_eq!((&shown["any_address"], &shown["require_address"]), (&true.into(), &true.into()));
    let log = nightlatch.log();
    assert!(!log.contains(&client.card["KEY"]) && !log.contains(&client.card["USER_AGENT"]));
}

#[test]
fn an_unmodified_client_opens() {
    if !support::installed(&["fwknop"]) {
        return;
    }
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, phone, _) = hosts(&stage);
    let (nightlatch, _daemon) = protect(server, "");
    let _echo = Echo::on(server, &[5060], &[443]);
    nightlatch.must(&["user", "add", "anna", "--services", "sip,web", "--keys", "spa"]);
    let own = both(server)[0].to_string();
    let card = nightlatch.must(&["user", "card", "anna", "--host", &own]);
    let stanza = card.lines().map(str::trim).skip_while(|line| !line.starts_with('['));
    let stanza: Vec<&str> = stanza.take_while(|line| !line.starts_with("and then")).collect();
    let file = nightlatch.directory().join("fwknoprc");
    std::fs::write(&file, stanza.join("\n") + "\n").unwrap();
    shell(server, &format!("chmod 600 {}", file.display()));
    let mut fwknop = phone.command("fwknop");
    // It writes files into the home folder.
    fwknop.env("HOME", nightlatch.directory()).arg("--rc-file").arg(&file);
    let sent = fwknop.args(["-n", &format!("anna@{own}"), "-s"]).output().unwrap();
    assert!(sent.status.success(), "{}", told(&sent));
    let target = SocketAddr::new(both(server)[0], 5060);
    answers(phone, target);
    assert!(connect(phone, SocketAddr::new(target.ip(), 443)).is_ok());
    // Whether it is open or not, and whoever asks: nothing comes back from the port.
    let mut again = phone.command("fwknop");
    again.env("HOME", nightlatch.directory()).arg("--rc-file").arg(&file);
    let closed = again.args(["-n", &format!("anna@{own}"), "-s", "-f", "1"]).output().unwrap();
    assert!(closed.status.success(), "{}", told(&closed));
    wait_until("it is closed", TIMEOUT, || ignores_udp(phone, target));
}

/// A request to register as phones send it.
fn register(agent: &str, from: SocketAddr, to: SocketAddr) -> String {
    format!(
        "REGISTER sip:{to} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bK1;rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:100@{to}>;tag=1\r\nTo: <sip:100@{to}>\r\nCall-ID: 1@{from}\r\n\
         CSeq: 1 REGISTER\r\nContact: <sip:100@{from}>\r\nUser-Agent: {agent}\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn the_repetition_of_a_phone_with_the_secret_user_agent_gets_through() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, phone, attacker) = hosts(&stage);
    let (nightlatch, _daemon) = protect(server, "");
    let client = Client::of(&nightlatch, "anna", "sip", &[]);
    let pbx = patiently(server, || UdpSocket::bind(any(5060)));
    pbx.set_read_timeout(Some(SILENCE)).unwrap();
    let mut buffer = [0; 2048];
    let mut hears = |from: &Host, own: IpAddr, agent: &str| {
        let target = SocketAddr::new(own, 5060);
        let socket = from.run(|| UdpSocket::bind(unspecified(target))).unwrap().unwrap();
        let text = register(agent, socket.local_addr().unwrap(), target);
        // As phones repeat it: after half a second, a second, two.
        (0..4)
            .filter(|_| {
                socket.send_to(text.as_bytes(), target).unwrap();
                pbx.recv_from(&mut buffer).is_ok()
            })
            .count()
    };
    let agent = client.card["USER_AGENT"].clone();
    for own in both(server) {
        assert_eq!(hears(attacker, own, "Yealink SIP-T46S 66.85.0.5"), 0);
        assert_eq!(hears(attacker, own, &agent.to_uppercase()), 0);
        let heard = hears(phone, own, &agent);
        assert!((1..=3).contains(&heard), "the first one opens, the next gets through: {heard}");
        assert_eq!(hears(attacker, own, "Yealink SIP-T46S 66.85.0.5"), 0);
    }
    // A lease that was ended denies the address, and the phone gets in again by itself.
    let address = both(phone)[0].to_string();
    nightlatch.must(&["close", &address]);
    assert!(hears(phone, both(server)[0], &agent) >= 1);
    nightlatch.must(&["user", "rotate", "anna", "--keys", "agent"]);
    nightlatch.must(&["close", &address]);
    assert_eq!(hears(phone, both(server)[0], &agent), 0);
}
