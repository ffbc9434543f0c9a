//! Rulesets of others.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::logic::firewalls::{FirewallFacts, find_firewalls};
use super::super::logic::iptables::read_iptables_save;
use super::super::logic::known::KNOWN;
use super::super::logic::ruleset::{Chains, read_nft};

#[test]
fn iptables_save_is_read() {
    let text = include_str!("../testdata/docker.iptables-save");
    let chains = read_iptables_save("ip", true, text);
    let published: Vec<String> = chains
        .published
        .iter()
        .map(|p| {
            format!(
                "{} {:?} {:?} {} {}",
                p.protocol.unwrap(),
                p.first,
                p.last,
                p.address.as_deref().unwrap_or("any"),
                p.to.as_deref().unwrap()
            )
        })
        .collect();
    assert_eq!(
        published,
        [
            "tcp Some(8080) Some(8080) any 172.17.0.2:80",
            "udp Some(10000) Some(10100) 192.0.2.5 172.17.0.3:10000-10100",
            "tcp Some(25) Some(25) any port 2525 of this host",
            "tcp Some(465) Some(465) any port 2525 of this host",
            "tcp None None any 172.17.0.9",
        ]
    );
    let facts = FirewallFacts { rulesets: vec![chains], ..FirewallFacts::default() };
    let found = find_firewalls(&facts);
    let docker = found.iter().find(|f| f.id == "docker").unwrap();
    assert_eq!(docker.drops_by_default, ["ip filter FORWARD"]);
    assert_eq!((docker.drop_rules, docker.reject_rules), (0, 0));
    let rest = found.iter().find(|f| f.id == "iptables-legacy").unwrap();
    assert_eq!(rest.drops_by_default, ["ip filter INPUT"]);
    assert_eq!((rest.drop_rules, rest.reject_rules), (1, 1));
}

#[test]
fn a_ruleset_cut_short_counts_as_far_as_it_goes() {
    let whole = r#"{"nftables":[{"metainfo":{"version":"1.0.6"}},
        {"chain":{"family":"ip","table":"filter","name":"INPUT","hook":"input","policy":"drop"}},
        {"rule":{"family":"ip","table":"filter","chain":"INPUT","expr":[{"drop":null}]}}]}"#;
    let chains = read_nft(whole).unwrap();
    assert_eq!(chains.chains.values().next().unwrap().drops, 1);
    let (part, reason) = read_nft(&whole[..whole.len() - 20]).unwrap_err();
    assert_eq!(part.chains.len(), 1);
    assert!(!reason.is_empty());
    assert_eq!(read_nft("").unwrap_err().0, Chains::default());
    assert!(read_nft("[]").is_err());
}

fn facts(files: &[(&str, &str)], enabled: &[&str], processes: &[&str]) -> FirewallFacts {
    let mut by_id: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (id, file) in files {
        by_id.entry((*id).to_owned()).or_default().push((*file).to_owned());
    }
    let set =
        |names: &[&str]| -> BTreeSet<String> { names.iter().map(|&n| n.to_owned()).collect() };
    FirewallFacts {
        files: by_id,
        enabled: set(enabled),
        processes: set(processes),
        ..FirewallFacts::default()
    }
}

#[test]
fn installed_running_or_waiting() {
    for (facts, expected) in [
        (facts(&[], &[], &[]), ""),
        (facts(&[("ufw", "/etc/ufw/ufw.conf")], &["ufw"], &[]), "ufw off"),
        (
            FirewallFacts {
                ufw_enabled: true,
                ..facts(&[("ufw", "/etc/ufw/ufw.conf")], &["ufw"], &[])
            },
            "ufw boot",
        ),
        (facts(&[], &["firewalld"], &["firewalld"]), "firewalld on boot"),
        (facts(&[("csf", "/etc/csf/csf.conf")], &["csf"], &["lfd - sleeping"]), "csf on boot"),
        (facts(&[], &[], &["lfdx", "knockd.conf"]), ""),
        (facts(&[], &[], &["voipfirewalld (Monitor thread)"]), "freepbx-firewall on"),
        // FreePBX without its firewall.
        (facts(&[], &["freepbx"], &[]), ""),
        // Every Debian has the file; only its service counts.
        (facts(&[("nftables-service", "/etc/nftables.conf")], &[], &[]), ""),
        (facts(&[("travelin-man", "/root/office.iptables")], &[], &[]), "travelin-man off"),
    ] {
        let found: Vec<String> = find_firewalls(&facts)
            .iter()
            .map(|f| {
                let on = if f.active { " on" } else { "" };
                let boot = if f.at_boot { " boot" } else { "" };
                let off = if f.active || f.at_boot { "" } else { " off" };
                format!("{}{on}{boot}{off}", f.id)
            })
            .collect();
        assert_eq!(found.join(", "), expected, "{facts:?}");
    }
}

#[test]
fn effects_are_plain_sentences() {
    let found = find_firewalls(&facts(&[("csf", "/etc/csf/csf.conf")], &["csf"], &[]));
    assert_eq!(
        found[0].effect,
        "Not active now, but it starts at boot. It empties all rules of iptables when it restarts; \
         Nightlatch's own table is separate, and is restored at once if it is removed."
    );
    for known in KNOWN {
        assert!(!known.id.is_empty() && !known.name.is_empty());
        assert!(known.note.is_empty() || known.note.ends_with('.'), "{}", known.note);
        assert!(!known.flushes.ends_with('.'));
    }
}

proptest! {
    #[test]
    fn no_ruleset_breaks_a_reader(text in "(\\PC|[\n*:\"{}]|-A |-j |--dport |DNAT){0,120}") {
        read_iptables_save("ip", true, &text);
        let _ = read_nft(&text);
    }
}
