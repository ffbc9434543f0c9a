//! Feeds that try to make the server shut out itself, its link, its people or everybody.

use std::net::IpAddr;

use nightlatch_lab::stage::Plan;

use super::web::Web;
use super::{Probes, addresses, feed, open};
use crate::kernel::ground::shell;
use crate::support;

/// What must never be shut out by a list.
const NEVER: [&str; 6] = [
    "198.51.100.53", // the resolver
    "10.1.2.3",
    "172.16.5.5",
    "192.168.1.1",
    "2001:db8:1::53", // the resolver
    "fd00::1",
];

#[test]
fn poison_is_trimmed_and_told() {
    let plan = Plan::standard().with_resolver();
    let plan = plan.change("server", |host| host.with_copy("/etc"));
    let Some(stage) = support::stage(&plan) else {
        return;
    };
    let host = |name| stage.host(name).unwrap();
    let (server, office, attacker) = (host("server"), host("office"), host("attacker"));
    let resolvers = "nameserver 198.51.100.53\\nnameserver 2001:db8:1::53\\n";
    shell(server, &format!("rm -f /etc/resolv.conf; printf '{resolvers}' > /etc/resolv.conf"));
    let (nightlatch, _daemon) = open(server, office, "");
    let probes = Probes::from(attacker, server, office);
    let web = Web::on(server);
    let poison = [
        "0.0.0.0/0",
        "::/0",
        "128.0.0.0/1",
        "192.0.0.0/7",
        "198.51.100.0/24", // server, gateway, resolver and others
        "203.0.113.0/28",  // the office, an account
        "127.0.0.0/8",
        "127.0.0.1",
        "10.0.0.0/9",
        "10.128.0.0/9",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "2001:db8:1::/64",
        "fc00::/7",
        "fe80::/10",
        "::1",
        "2001:db8:1::fe",
        "2001:db8:1::53",
        "192.0.2.160/29", // rightly listed
        "2001:db8:66::/64",
    ];
    web.put("/poison", poison.join("\n") + "\n");
    let told = nightlatch.must(&["feed", "add", "poison", &web.url("/poison")]);
    for expected in [
        "too wide for a blocklist",
        "the gateway",
        "the resolver",
        "account \"office\"",
        "a reserved range",
    ] {
        assert!(told.contains(expected), "{expected}: {told}");
    }
    let never = addresses(&NEVER);
    let passing = probes.passing(&never);
    for address in never {
        assert!(passing.contains(&address), "{address} is shut out");
    }
    // The rest of the poisoned networks is listed, and so are the honest entries.
    let listed = addresses(&["198.51.100.77", "192.0.2.161", "2001:db8:66::66", "2001:db8:1::77"]);
    assert!(probes.passing(&listed).is_empty());
    assert!(probes.passing(&addresses(&["192.0.2.20", "8.8.8.8", "2001:db8:3::20"])).len() == 3);
    // A router sends no packet with its own address on for others: these are asked for.
    for own in ["198.51.100.1", "2001:db8:1::1", "198.51.100.254", "2001:db8:1::fe", "127.0.0.1"] {
        let why = nightlatch.json(&["why", own]);
        assert_ne!(why["reason"], "listed", "{why}");
    }
}

/// What covers half the internet in small pieces is refused as a whole; what covers one /8 is
/// trimmed.
#[test]
fn everything_in_small_pieces() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    let host = |name| stage.host(name).unwrap();
    let (server, office, attacker) = (host("server"), host("office"), host("attacker"));
    let (nightlatch, _daemon) = open(server, office, "");
    let probes = Probes::from(attacker, server, office);
    let web = Web::on(server);
    let ninths: String =
        (1..224).flat_map(|n| [format!("{n}.0.0.0/9\n"), format!("{n}.128.0.0/9\n")]).collect();
    web.put("/all", ninths);
    let told = nightlatch.must_exit(1, &["feed", "add", "all", &web.url("/all")]);
    assert!(told.contains("/8 networks"), "{told}");
    let six: String = (0x2000..0x4000).step_by(2).map(|n| format!("{n:x}::/16\n")).collect();
    web.put("/six", six.replace("/16", "/17"));
    let told = nightlatch.must_exit(1, &["feed", "add", "six", &web.url("/six")]);
    assert!(told.contains("IPv6"), "{told}");
    let eight: String = (0..=255).map(|n| format!("192.{n}.0.0/16\n")).collect();
    web.put("/eight", eight + "203.0.113.200\n");
    let told = nightlatch.must(&["feed", "add", "eight", &web.url("/eight")]);
    assert!(told.contains("most of 192.0.0.0/8"), "{told}");
    let passing = probes.passing(&addresses(&["192.0.2.20", "203.0.113.200", "2001:db8:66::66"]));
    assert!(!passing.contains(&"203.0.113.200".parse::<IpAddr>().unwrap()));
    assert_eq!(passing.len(), 2);
    assert_eq!(feed(&nightlatch, "all")["state"]["entries_v4"], 0);
}

/// A table of countries that has the server's own people and neighbours in a country that is shut
/// out, or in none while only some are let in.
#[test]
fn a_table_of_countries_shuts_out_nobody_who_is_needed() {
    let plan = Plan::standard().with_resolver();
    let plan = plan.change("server", |host| host.with_copy("/etc"));
    let Some(stage) = support::stage(&plan) else {
        return;
    };
    let host = |name| stage.host(name).unwrap();
    let (server, office, attacker) = (host("server"), host("office"), host("attacker"));
    let resolvers = "nameserver 198.51.100.53\\nnameserver 2001:db8:1::53\\n";
    shell(server, &format!("rm -f /etc/resolv.conf; printf '{resolvers}' > /etc/resolv.conf"));
    let web = Web::on(server);
    let rules = format!("[countries]\nsource = \"{}\"\n", web.url("/table.csv"));
    web.put(
        "/table.csv",
        "0.0.0.0,223.255.255.255,CN\n::,ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe,CN\n",
    );
    let (nightlatch, _daemon) = open(server, office, &rules);
    let probes = Probes::from(attacker, server, office);
    let never = addresses(&NEVER);
    let others = addresses(&["198.51.100.77", "192.0.2.20", "2001:db8:66::66", "2001:db8:1::77"]);
    for command in [["block", "CN"], ["allow", "US"]] {
        nightlatch.must(&["country", command[0], command[1]]);
        let passing = probes.passing(&never);
        for address in &never {
            assert!(passing.contains(address), "{command:?}: {address} is shut out");
        }
        assert!(probes.passing(&others).is_empty(), "{command:?}");
        for own in
            ["198.51.100.1", "2001:db8:1::1", "198.51.100.254", "2001:db8:1::fe", "127.0.0.1"]
        {
            let why = nightlatch.json(&["why", own]);
            assert_ne!(why["reason"], "listed", "{command:?}: {why}");
        }
        // What is blocked cannot be let in.
        nightlatch.run_it(&["country", "unblock", "CN"]);
    }
}
