//! Bans: the next packet is dropped, running flows included, and they end by themselves.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nightlatch::shell::firewall::Firewall;
use nightlatch_core::AddrRange;
use nightlatch_core::action::Deny;
use nightlatch_core::learned::Lasting;
use nightlatch_lab::packet::Packet;
use nightlatch_lab::stage::{Host, Plan};
use rusqlite::Connection;
use serde_json::Value;

use super::ground::{
    Ears, Echo, Prober, Stream, TIMEOUT, Talk, answers_udp, asks_from, both, ignores_udp, protect,
    run, settle, shell,
};
use crate::support::{self, Installation, now, wait_until};

/// Strangers reach signalling and the web, and the limits do not matter.
const OPEN: &str = "[open]\nservices = [\"sip\", \"web\"]\nper-source = { packets = 100000, burst = 100000 }\ntotal = { packets = 100000, burst = 100000 }\n";
const SIGNALLING: u16 = 5060;
const WEB: u16 = 80;
const QUICK: Duration = Duration::from_millis(60);
const QUIET: Duration = Duration::from_millis(400);

/// How many packets have left since [`count_what_leaves`].
fn sent(server: &Host) -> u64 {
    let counted = ["ip", "ip6"].map(|family| {
        let listed = shell(server, &format!("nft list counter inet seen to_{family}"));
        let mut words = listed.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).unwrap().parse::<u64>().unwrap()
    });
    counted.iter().sum()
}

/// Counts what leaves a server to a host.
fn count_what_leaves(server: &Host, to: &Host) {
    let (v4, v6) = (to.v4(), to.v6());
    shell(
        server,
        &format!(
            "nft -f - <<'END'
table inet seen {{
    counter to_ip {{ }}
    counter to_ip6 {{ }}
    chain leaves {{
        type filter hook postrouting priority 300; policy accept;
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
        ip daddr {v4} counter name to_ip
        ip6 daddr {v6} counter name to_ip6
    }}
}}
END"
        ),
    );
}

#[test]
fn a_ban_ends_running_flows_with_the_next_packet_and_ends_without_the_daemon() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let (nightlatch, daemon) = protect(server, OPEN);
    nightlatch.must(&["mode", "open"]);
    let mut flows = Vec::new();
    for own in both(server) {
        let talk = Talk::between(attacker, server, SocketAddr::new(own, SIGNALLING));
        flows.push((talk, Stream::between(attacker, server, SocketAddr::new(own, WEB))));
    }
    for (talk, stream) in &flows {
        wait_until("datagrams flow", TIMEOUT, || talk.silent_for() < QUICK);
        wait_until("a stream flows", TIMEOUT, || stream.silent_for() < QUICK);
    }
    let [v4, v6] = both(attacker).map(|address| address.to_string());
    nightlatch.must(&["ban", &v4, "--for", "10s", "--reason", "guesses \"all\" extensions"]);
    nightlatch.must(&["ban", &v6, "--for", "10s"]);
    let banned = now();
    count_what_leaves(server, attacker);
    wait_until("all flows are silent", QUIET + Duration::from_millis(300), || {
        flows.iter().all(|(talk, stream)| talk.silent_for() > QUIET && stream.silent_for() > QUIET)
    });
    assert_eq!(sent(server), 0, "something goes out to a banned address");
    let why = nightlatch.must_exit(1, &["why", &v4, "--to", "udp/5060"]);
    assert!(why.contains("are dropped") && why.contains("guesses"), "{why}");
    let listed = nightlatch.must(&["bans"]);
    assert!(
        listed.contains(&v4) && listed.contains("/64") && listed.contains("by hand"),
        "{listed}"
    );
    let json = nightlatch.json(&["bans"]);
    assert_eq!(json["count"], 2, "{json}");
    // The kernel ends it by itself.
    daemon.kill();
    for (talk, _) in &flows {
        wait_until("the ban has ended", TIMEOUT + TIMEOUT, || talk.silent_for() < QUICK);
    }
    assert!(banned.elapsed() > Duration::from_secs(8), "too early: {:?}", banned.elapsed());
}

#[test]
fn an_account_in_a_banned_network_continues_and_one_that_is_added_is_answered_at_once() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let (nightlatch, _daemon) = protect(server, OPEN);
    nightlatch.must(&["mode", "open"]);
    let later: IpAddr = "2001:db8:2::77".parse().unwrap();
    run(office, "ip -6 address add 2001:db8:2::77/64 dev eth0 nodad");
    let address = office.v6().to_string();
    nightlatch.must(&["allow", "office", &address, "--services", "sip"]);
    let target = SocketAddr::new(server.v6(), SIGNALLING);
    let talk = Talk::between(office, server, target);
    nightlatch.must(&["ban", "2001:db8:2::66"]);
    wait_until("the account's flow goes on", TIMEOUT, || talk.silent_for() < QUICK);
    drop(talk);
    let _echo = Echo::on(server, &[SIGNALLING], &[]);
    let bound = |from: IpAddr| {
        let socket = office.run(|| std::net::UdpSocket::bind(SocketAddr::new(from, 0)));
        socket.unwrap().unwrap()
    };
    let (own, other) = (bound(office.v6()), bound(later));
    assert!(asks_from(&own, target, TIMEOUT));
    assert!(!asks_from(&other, target, QUIET));
    nightlatch.must(&["allow", "late", &later.to_string(), "--services", "sip"]);
    assert!(asks_from(&other, target, TIMEOUT), "an account added later");
    nightlatch.must(&["remove", "late"]);
    assert!(!asks_from(&other, target, QUIET), "banned again");
    assert!(asks_from(&own, target, TIMEOUT));
    // Where all of it is allowed, the ban ends.
    nightlatch.must(&["allow", "net", "2001:db8:2::/64", "--services", "sip"]);
    assert!(asks_from(&other, target, TIMEOUT));
    assert_eq!(nightlatch.json(&["bans"])["count"], 0);
}

#[test]
fn a_foreign_flush_a_restart_and_a_reboot_restore_bans() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let (nightlatch, daemon) = protect(server, OPEN);
    nightlatch.must(&["mode", "open"]);
    let _echo = Echo::on(server, &[SIGNALLING], &[]);
    let targets = both(server).map(|own| SocketAddr::new(own, SIGNALLING));
    for address in both(attacker) {
        nightlatch.must(&["ban", &address.to_string(), "--for", "1h"]);
    }
    let is_banned = || targets.iter().all(|target| ignores_udp(attacker, *target));
    assert!(is_banned());
    for flush in ["flush ruleset", "delete table inet nightlatch"] {
        run(server, &format!("nft {flush}"));
        wait_until("the table is there again", TIMEOUT, || {
            server
                .command("nft")
                .args(["list", "chain", "inet", "nightlatch", "raw_prerouting"])
                .output()
                .unwrap()
                .status
                .success()
        });
        assert!(is_banned(), "{flush}");
    }
    // Over a restart: what the kernel has, but no record, goes; what a record has, comes.
    daemon.kill();
    run(server, "nft add element inet nightlatch ban4 { 192.0.2.200 timeout 1h }");
    run(server, &format!("nft delete element inet nightlatch ban4 {{ {} }}", attacker.v4()));
    let daemon = nightlatch.daemon();
    let ban4 = || shell(server, "nft list set inet nightlatch ban4");
    wait_until("the kernel has what the records say", TIMEOUT, || {
        let listed = ban4();
        !listed.contains("192.0.2.200") && listed.contains(&attacker.v4().to_string())
    });
    assert!(is_banned());
    // Over a reboot: nothing of the kernel's table is left.
    daemon.kill();
    run(server, "nft flush ruleset");
    let _daemon = nightlatch.daemon();
    assert!(is_banned());
    nightlatch.must(&["unban", "--all"]);
    assert!(targets.iter().all(|target| answers_udp(attacker, *target)));
    assert_eq!(nightlatch.must(&["bans"]).trim(), "Nothing is banned.");
}

/// The rows of so many bans, as the daemon writes them.
fn write_bans(nightlatch: &Installation<'_>, count: u32) {
    let mut database = Connection::open(nightlatch.state().join("nightlatch.db")).unwrap();
    let millis = nightlatch::shell::clock::now().millis();
    let writing = database.transaction().unwrap();
    let mut insert = writing
        .prepare("INSERT INTO records (feature, key, body) VALUES ('bans', ?1, ?2)")
        .unwrap();
    for number in 0..count {
        let range = match number % 4 {
            0 => format!("2001:db8:{:x}:{:x}::/64", number >> 16, number & 0xffff),
            _ => format!("10.{}.{}.{}", 100 + (number >> 16), number >> 8 & 255, number & 255),
        };
        let range = range.parse::<AddrRange>().unwrap().to_string();
        let (until, remembered) = (millis + 3_600_000, millis + 86_400_000);
        let body = serde_json::json!({
            "range": range, "since": millis, "until": until, "times": 1, "remembered": remembered,
            "cause": { "attack": { "weight": "full", "evidence": {
                "service": "sip", "attempts": 6, "score": 6, "since": millis - 5000, "last": millis,
                "threshold": [5, 600], "accounts_tried": 3, "accounts": ["100"], "lines": [
                    { "at": millis, "log": "/var/log/asterisk/messages", "text": "a line ".repeat(20) }
                ],
            } } },
        });
        insert.execute((&range, body.to_string())).unwrap();
    }
    drop(insert);
    writing.commit().unwrap();
}

#[test]
fn a_hundred_thousand_bans_are_restored_at_once() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let (nightlatch, daemon) = protect(server, "");
    daemon.kill();
    write_bans(&nightlatch, 100_000);
    let has = |address: &str| {
        let element = format!("{{ {address} }}");
        let set = if address.contains(':') { "ban6" } else { "ban4" };
        let mut get = server.command("nft");
        get.args(["get", "element", "inet", "nightlatch", set]).arg(element);
        get.output().unwrap().status.success()
    };
    let last = ["10.101.134.159", "2001:db8:1:869c::"];
    for (what, before) in [("restart", None), ("reboot", Some("flush ruleset"))] {
        before.into_iter().for_each(|flush| drop(run(server, &format!("nft {flush}"))));
        let start = now();
        let daemon = nightlatch.daemon();
        println!("{what}: {:?} until the daemon answers", start.elapsed());
        assert!(last.iter().all(|address| has(address)));
        assert_eq!(nightlatch.json(&["bans"])["count"], 100_000);
        daemon.kill();
    }
}

#[test]
fn ten_thousand_bans_are_one_transaction() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let (_nightlatch, _daemon) = protect(server, "");
    let element = |number: u32| {
        let [_, second, third, fourth] = number.to_be_bytes();
        let address = IpAddr::from([100, 64 + second, third, fourth]);
        let (set, key) = nightlatch_core::ban::place(&address.into()).unwrap();
        Lasting { set, key, left: Duration::from_secs(900) }
    };
    let elements: Vec<Lasting> = (0..10_000).map(element).collect();
    let deny = Deny { to: 1, elements, stale: BTreeSet::new(), is_urgent: true };
    let took = server.run(|| {
        let mut firewall = Firewall::open().unwrap();
        let start = now();
        firewall.deny(&deny).unwrap();
        start.elapsed()
    });
    let took = took.unwrap();
    println!("10,000 bans: {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    let listed =
        shell(server, "nft list set inet nightlatch ban4 | tr ',' '\\n' | grep -c expires");
    assert_eq!(listed.trim(), "10000");
}

/// An office with an account whose phone guesses: the registered phone continues, other ports are limited.
#[test]
fn a_limited_source_reaches_little() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, office) = (stage.host("server").unwrap(), stage.host("office").unwrap());
    let (nightlatch, daemon) = protect(server, "");
    nightlatch.must(&["allow", "office", &office.v4().to_string(), "--services", "sip,ssh"]);
    daemon.kill();
    let phone = SocketAddr::new(office.v4(), 5099);
    write_limit(&nightlatch, phone);
    let _daemon = nightlatch.daemon();
    let ears = Ears::on(server);
    let prober = Prober::on(office);
    let target = SocketAddr::new(server.v4(), SIGNALLING);
    let arrived = |from: u16, packets: usize| {
        settle(&ears);
        for _ in 0..packets {
            let from = SocketAddr::new(office.v4(), from);
            prober.send(&Packet::udp(from, target, b"REGISTER sip:x SIP/2.0\r\n\r\n"));
        }
        std::thread::sleep(Duration::from_millis(300));
        ears.count(office.v4(), 17)
    };
    let other = arrived(5070, 200);
    assert!((15..=25).contains(&other), "{other} of 200 packets");
    let next = arrived(5071, 200);
    assert!(next <= 5, "another port of the same source: {next} of 200 packets");
    assert_eq!(arrived(phone.port(), 200), 200, "the registered phone");
    let told = nightlatch.must(&["bans", "--limited"]);
    assert!(told.contains("sip, except its registered phone"), "{told}");
    assert_eq!(nightlatch.must(&["bans"]).trim(), "Nothing is banned.");
    nightlatch.must(&["unban", &office.v4().to_string()]);
    assert_eq!(arrived(5072, 200), 200, "no longer limited");
}

/// Country and network come from what is kept on this machine.
#[test]
fn country_and_network_of_a_ban_are_told() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let (server, attacker) = (stage.host("server").unwrap(), stage.host("attacker").unwrap());
    let (nightlatch, _daemon) = protect(server, "");
    let source = attacker.v4();
    nightlatch.must(&["ban", &source.to_string()]);
    let unknown = nightlatch.json(&["bans"])["bans"][0].clone();
    assert_eq!(
        (&unknown["country"], &unknown["system"]),
        (&Value::Null, &Value::Null),
        "{unknown}"
    );
    let network = AddrRange::network(source, 24).unwrap().to_string();
    let lists = nightlatch.state().join("lists");
    std::fs::create_dir_all(&lists).unwrap();
    std::fs::write(lists.join("countries.table"), format!("# {{}}\n{network} DE\n")).unwrap();
    std::fs::write(lists.join("bad.list"), format!("# {{}}\n{network}\n")).unwrap();
    let told = nightlatch.json(&["bans"])["bans"][0].clone();
    assert_eq!(told["country"], serde_json::json!({ "code": "DE", "name": "Germany" }), "{told}");
    assert_eq!(
        told["networks"],
        serde_json::json!([{ "range": network, "list": "bad" }]),
        "{told}"
    );
    let shown = nightlatch.must(&["bans"]);
    assert!(shown.contains(&format!("DE       {network} (list bad)  by hand")), "{shown}");
}

/// In open mode, the kernel names who exceeds the limit of each source, and nobody else.
#[test]
fn who_exceeds_a_rate_limit_is_named() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let [server, attacker, traveller] =
        ["server", "attacker", "traveller"].map(|name| stage.host(name).unwrap());
    let limits = "[open]\nservices = [\"sip\"]\nper-source = { packets = 5, burst = 10 }\n";
    let (nightlatch, _daemon) = protect(server, limits);
    nightlatch.must(&["mode", "open"]);
    let named = || nightlatch.json(&["bans", "--limited"])["rate_limited"].clone();
    assert_eq!(named(), serde_json::json!([]));
    let (fast, calm) = (Prober::on(attacker), Prober::on(traveller));
    let register = |from: IpAddr, to: IpAddr| {
        let (from, to) = (SocketAddr::new(from, 5070), SocketAddr::new(to, SIGNALLING));
        Packet::udp(from, to, b"REGISTER sip:x SIP/2.0\r\n\r\n")
    };
    for ((own, of_attacker), of_traveller) in
        both(server).into_iter().zip(both(attacker)).zip(both(traveller))
    {
        (0..100).for_each(|_| fast.send(&register(of_attacker, own)));
        (0..3).for_each(|_| calm.send(&register(of_traveller, own)));
    }
    wait_until("both addresses are named", TIMEOUT, || named().as_array().unwrap().len() == 2);
    let told = named();
    let (v4, v6) = (attacker.v4().to_string(), attacker.v6());
    for it in told.as_array().unwrap() {
        let source = it["source"].as_str().unwrap();
        let is_its = source == v4
            || source
                .parse::<AddrRange>()
                .is_ok_and(|range| range.contains(v6) && !range.is_single());
        assert!(is_its && (1..=100).contains(&it["packets"].as_u64().unwrap()), "{told}");
        assert_eq!((&it["country"], &it["networks"]), (&Value::Null, &serde_json::json!([])));
    }
    let shown = nightlatch.must(&["bans", "--limited"]);
    assert!(shown.contains("Nothing is limited.") && shown.contains(&v4), "{shown}");
    assert!(shown.contains("unknown"), "{shown}");
    assert!(nightlatch.json(&["bans"])["rate_limited"].is_null(), "asked of the kernel unasked");
}

/// The row of a limit, as the daemon writes it.
fn write_limit(nightlatch: &Installation<'_>, phone: SocketAddr) {
    let database = Connection::open(nightlatch.state().join("nightlatch.db")).unwrap();
    let millis = nightlatch::shell::clock::now().millis();
    let body = serde_json::json!({
        "range": phone.ip(), "since": millis, "until": millis + 3_600_000, "times": 0,
        "remembered": millis + 86_400_000, "cause": { "by-hand": { "by": "a test", "reason": "" } },
        "limit": { "services": ["sip"], "strict": false, "free": [phone] },
    });
    let insert = "INSERT INTO records (feature, key, body) VALUES ('bans', ?1, ?2)";
    database.execute(insert, (phone.ip().to_string(), body.to_string())).unwrap();
}
