//! A feed from its server to the packets it stops, and all that can go wrong on the way.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nightlatch_core::ruleset::COUNTED_BY_ADDRESS;
use nightlatch_lab::packet::{Packet, Sender};
use nightlatch_lab::stage::{Host, Plan};

use super::web::Web;
use super::{Probes, SIP, addresses, feed, open, set};
use crate::support;

/// Members and others, side by side, of both families.
const ADDRESSES: [&str; 8] = [
    "192.0.2.160",
    "192.0.2.161",
    "192.0.2.175",
    "192.0.2.176",
    "203.0.113.77",
    "2001:db8:66::66",
    "2001:db8:66:1::1",
    "2001:db8:67::1",
];
const LIST: &str = "# bad people\n192.0.2.161\n192.0.2.168/29 ; a network\n2001:db8:66::/48\n";
const OTHERS: [&str; 4] = ["192.0.2.160", "192.0.2.176", "203.0.113.77", "2001:db8:67::1"];

/// So many entries that the watch over a list's size wakes up, apart from all test addresses.
fn padding(count: usize) -> String {
    (0..count).map(|n| format!("198.18.{}.{}\n", n / 100, n % 100 * 2)).collect()
}

/// Sends several times as many packets as are counted by address in a second.
fn flood(attacker: &Host, server: &Host, source: IpAddr) {
    let sender = Sender::in_host(attacker).unwrap();
    let to = SocketAddr::new(server.v4(), SIP);
    for number in 0..COUNTED_BY_ADDRESS * 5 {
        let packet = Packet::udp(SocketAddr::new(source, 4000), to, &number.to_be_bytes());
        // A full queue on the way is no verdict.
        let _ = sender.send(&packet);
    }
    std::thread::sleep(Duration::from_millis(200));
}

#[test]
fn from_the_server_to_the_packets_and_back() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let host = |name| stage.host(name).unwrap();
    let (server, office, attacker) = (host("server"), host("office"), host("attacker"));
    let (nightlatch, _daemon) = open(server, office, "");
    let probes = Probes::from(attacker, server, office);
    let all = addresses(&ADDRESSES);
    assert_eq!(probes.passing(&all), set(&ADDRESSES), "before there is a list");

    // Added: fetched, and in force when the command returns.
    let web = Web::on(server);
    web.put("/bad.txt", LIST.to_owned() + &padding(500));
    let told = nightlatch.must(&["feed", "add", "bad", &web.url("/bad.txt")]);
    assert!(told.contains("503 entries"), "{told}");
    assert_eq!(probes.passing(&all), set(&OTHERS));
    let view = feed(&nightlatch, "bad");
    assert_eq!(
        (&view["state"]["entries_v4"], &view["state"]["entries_v6"]),
        (&502.into(), &1.into())
    );
    assert_eq!(view["state"]["result"], "503 entries");
    let taken = nightlatch.must_exit(1, &["feed", "add", "bad", "/other", "--no-wait"]);
    assert!(taken.contains("exists already"), "{taken}");

    // What it stopped is counted, to the packet.
    assert_eq!(view["state"]["stopped"], 4);
    assert_eq!(view["state"]["stopped_alone"], 4);
    let status = nightlatch.json(&["status"]);
    assert_eq!((&status["listed"], &status["dropped"]["listed"]), (&503.into(), &4.into()));

    // A flood is counted as well, though not each of its packets by address.
    flood(attacker, server, "192.0.2.161".parse().unwrap());
    let (stopped, dropped) = (
        feed(&nightlatch, "bad")["state"]["stopped"].clone(),
        nightlatch.json(&["status"])["dropped"]["listed"].clone(),
    );
    assert_eq!(stopped, dropped);
    assert!(stopped.as_u64().unwrap() > 3 * COUNTED_BY_ADDRESS, "{stopped}");

    // `why` names list, entry and age.
    let why = nightlatch.must_exit(1, &["why", "192.0.2.170", "--to", "udp/5060"]);
    assert!(why.contains("feed \"bad\" lists 192.0.2.168/29, fetched"), "{why}");
    let why = nightlatch.json(&["why", "2001:db8:66::66"]);
    assert_eq!(why["reason"], "listed");
    assert_eq!(why["lists"][0]["feed"], serde_json::Value::Null);
    assert_eq!(why["lists"][0]["name"], "bad");

    // Nothing new: the server is asked, and says so.
    let told = nightlatch.must(&["feed", "refresh", "bad"]);
    assert!(told.contains("nothing new"), "{told}");
    assert_eq!(web.answers("/bad.txt"), [200, 304]);
    assert_eq!(probes.passing(&all), set(&OTHERS));

    // A change: one address leaves, one comes.
    let changed = LIST.replace("192.0.2.161", "192.0.2.160") + &padding(500);
    web.put("/bad.txt", changed);
    nightlatch.must(&["feed", "refresh"]);
    assert_eq!(
        probes.passing(&all),
        set(&["192.0.2.161", "192.0.2.176", "203.0.113.77", "2001:db8:67::1"])
    );

    // Shrunk beyond belief: refused, what was in force stays.
    web.put("/bad.txt", "203.0.113.77\n");
    let told = nightlatch.must_exit(1, &["feed", "refresh", "bad"]);
    assert!(told.contains("shrank from 503 to 1"), "{told}");
    assert!(told.contains("feed refresh bad --force"), "{told}");
    assert!(!probes.passes("192.0.2.160".parse().unwrap()));
    assert!(probes.passes("203.0.113.77".parse().unwrap()));
    let status = nightlatch.json(&["status"]);
    assert!(status["feed_troubles"][0].as_str().unwrap().contains("shrank"), "{status}");

    // Believed when told so.
    nightlatch.must(&["feed", "refresh", "bad", "--force"]);
    assert!(probes.passes("192.0.2.160".parse().unwrap()));
    assert!(!probes.passes("203.0.113.77".parse().unwrap()));
    assert_eq!(nightlatch.json(&["status"])["feed_troubles"], serde_json::json!([]));

    // A missing file, another thing than a list, a server that is gone: the old stays.
    web.put("/bad.txt", "<html><body>Sign in to the hotel's network</body></html>");
    let told = nightlatch.must_exit(1, &["feed", "refresh", "bad"]);
    assert!(told.contains("FAILED") && told.contains("the previous entry stays active"), "{told}");
    drop(web);
    let told = nightlatch.must_exit(1, &["feed", "refresh", "bad"]);
    assert!(told.contains("FAILED"), "{told}");
    assert!(!probes.passes("203.0.113.77".parse().unwrap()));
    let view = feed(&nightlatch, "bad");
    assert_eq!(view["state"]["failures"], 2);

    // Removed: they pass again, at once; the name is free.
    nightlatch.must(&["feed", "remove", "bad"]);
    assert_eq!(probes.passing(&all), set(&ADDRESSES));
    nightlatch.must_exit(1, &["feed", "remove", "bad"]);
    assert_eq!(nightlatch.json(&["feed", "list"]), serde_json::json!([]));
    assert!(!nightlatch.state().join("lists/bad.list").exists());
}

#[test]
fn an_account_is_no_stranger_whatever_lists_say() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let host = |name| stage.host(name).unwrap();
    let (server, office, attacker) = (host("server"), host("office"), host("attacker"));
    let (nightlatch, _daemon) = open(server, office, "");
    let probes = Probes::from(attacker, server, office);
    nightlatch.must(&["allow", "carrier", "192.0.2.170", "2001:db8:66::7", "--services", "web"]);
    let list = nightlatch.directory().join("list.txt");
    std::fs::write(&list, LIST).unwrap();
    let told = nightlatch.must(&["feed", "add", "bad", list.to_str().unwrap()]);
    assert!(told.contains("account \"carrier\""), "the feed names an account: {told}");
    // The account's own service, and what is open to strangers; not what is open to nobody.
    let carrier = addresses(&["192.0.2.170", "2001:db8:66::7"]);
    let neighbours = addresses(&["192.0.2.169", "192.0.2.171", "2001:db8:66::8"]);
    for (port, passing) in [(SIP, 2), (9999, 0)] {
        assert_eq!(probes.passing_to(port, &carrier).len(), passing, "port {port}");
        assert_eq!(probes.passing_to(port, &neighbours).len(), 0, "port {port}");
    }
    assert!(nightlatch.must(&["why", "192.0.2.170"]).contains("are accepted"));
    // Without the account it is listed like its neighbours.
    nightlatch.must(&["remove", "carrier"]);
    assert_eq!(probes.passing(&carrier).len(), 0);
    // In mode allowlist no list matters, and back in open it holds again.
    nightlatch.must(&["mode", "allowlist"]);
    assert_eq!(probes.passing(&addresses(&OTHERS)).len(), 0);
    nightlatch.must(&["mode", "open"]);
    assert_eq!(probes.passing(&addresses(&ADDRESSES)), set(&OTHERS));
}

#[test]
fn wrong_use_is_answered_before_the_daemon_is_asked() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let nightlatch = support::Installation::on(stage.host("server").unwrap()).with_asterisk();
    for (arguments, message) in [
        (&["feed", "add", "spamhause"][..], "spamhaus-drop"),
        (&["feed", "add", "x/y", "/list"], "is not a valid feed name"),
        (&["feed", "add", "x", "ftp://x.example/list"], "must be an absolute path"),
        (&["feed", "add", "x", "/list", "--format", "xml"], "unknown format"),
        (&["feed", "add", "x", "/list", "--every", "1s"], "between 1m and 30d"),
        (
            &["feed", "add", "x", "https://x.example/", "--header", "no colon"],
            "is not a valid header",
        ),
        (&["feed", "add", "apiban"], "--key-file"),
        (&["feed", "add", "x", "/nowhere"], "/nowhere does not exist: nothing is added"),
        (&["feed", "add", "x", "/etc"], "/etc is not a regular file"),
        (&["feed", "add", "x", "list.example/bad.txt"], "write https://list.example/bad.txt"),
        (&["feed", "add", "apiban", "--key-file", "/nowhere"], "the key file /nowhere does not"),
        (&["feed", "add", "x", "https://x.example/", "--key-file", "/key"], "the key is not used"),
        (&["country", "block", "Germny"], "Germany"),
        (&["country", "allow", "all", "DE"], "cannot be combined"),
        (&["country", "block"], "required"),
    ] {
        let told = nightlatch.must_exit(2, arguments);
        assert!(told.contains(message), "{arguments:?}: {told}");
    }
    nightlatch.must_exit(69, &["feed", "list"]);
    nightlatch.must_exit(69, &["feed", "add", "spamhaus-drop"]);
    assert!(nightlatch.must(&["feed", "catalogue"]).contains("spamhaus-drop"));
    assert!(nightlatch.json(&["feed", "catalogue"]).as_array().unwrap().len() > 9);
}

/// Nobody asks: at its own pace the daemon looks, and sends the version that it knows.
#[test]
fn lists_are_looked_at_in_the_background() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let host = |name| stage.host(name).unwrap();
    let (server, office, attacker) = (host("server"), host("office"), host("attacker"));
    let (nightlatch, _daemon) = open(server, office, "");
    let probes = Probes::from(attacker, server, office);
    let web = Web::on(server);
    web.put("/same", "192.0.2.161\n");
    web.put("/new", "192.0.2.162\n");
    for name in ["same", "new"] {
        nightlatch.must(&["feed", "add", name, &web.url(&format!("/{name}")), "--every", "1m"]);
    }
    // One that fails is tried again after the same minute.
    nightlatch.must_exit(1, &["feed", "add", "late", &web.url("/late"), "--every", "1d"]);
    web.put("/new", "192.0.2.163\n");
    web.put("/late", "192.0.2.164\n");
    support::wait_until("all are looked at", std::time::Duration::from_secs(75), || {
        [("/same", 304), ("/new", 200), ("/late", 200)]
            .iter()
            .all(|(path, status)| web.answers(path).get(1) == Some(status))
    });
    let all = addresses(&["192.0.2.161", "192.0.2.162", "192.0.2.163", "192.0.2.164"]);
    support::wait_until("they are in force", std::time::Duration::from_secs(5), || {
        probes.passing(&all) == set(&["192.0.2.162"])
    });
}
