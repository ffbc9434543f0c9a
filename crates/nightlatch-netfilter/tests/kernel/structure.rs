//! The structure's digest, the inventory, and text by `nft`.

use std::net::UdpSocket;
use std::time::Duration;

use nightlatch_netfilter::{
    Counter, Element, Kind, Monitor, Netlink, NftError, Set, Structure, TableFamily, text,
};
use nightlatch_parse::address::Family;

use crate::namespace::{in_namespace, load, run};

const STRUCTURE: &str = "
table inet t {
    counter dropped { }
    quota much { 10 mbytes }
    set bans { type ipv4_addr; flags timeout; }
    set rates { type ipv4_addr; flags dynamic,timeout; timeout 1m; size 1000; }
    map accounts { type ipv4_addr : verdict; flags interval; }
    chain judge {
        quota over 5 mbytes counter name dropped
        tcp dport { 22, 80, 443 } counter accept
        udp dport vmap { 5060 : accept, 4569 : drop }
        limit rate 100/second accept
    }
    chain input {
        type filter hook input priority -5; policy accept;
        meta l4proto udp update @rates { ip saddr limit rate 10/second burst 5 packets } counter
        ip saddr @bans counter name dropped drop
        counter jump judge
        quota name \"much\" accept
    }
}";

/// Not every kernel has flow tables.
const FLOWTABLE: &str = "add flowtable inet t f { hook ingress priority 0; devices = { lo }; }";

fn structure(netlink: &mut Netlink) -> Structure {
    netlink.structure("t").unwrap().unwrap()
}

#[test]
fn any_change_is_seen() {
    in_namespace("structure::any_change_is_seen", || {
        let mut netlink = Netlink::open().unwrap();
        assert_eq!(netlink.structure("t").unwrap(), None);
        for change in [
            "add rule inet t judge accept",
            "insert rule inet t input accept",
            "flush chain inet t judge",
            "flush table inet t",
            "add chain inet t input { policy drop; }",
            "add chain inet t other",
            "add chain inet t early { type filter hook input priority -300; }",
            "add set inet t other { type ipv4_addr; }",
            "add counter inet t other",
            "add table inet t { flags dormant; }",
            FLOWTABLE,
            "replace rule inet t judge handle H counter accept",
            "replace rule inet t judge handle H tcp dport { 22, 80 } counter accept",
            "replace rule inet t judge handle H tcp dport { 22, 80, 443 } counter drop",
            "replace rule inet t judge handle H tcp dport { 22, 80, 443 } counter accept comment \"x\"",
            "delete rule inet t judge handle H",
            "delete set inet t spare",
            "delete quota inet t spare",
            "delete chain inet t spare",
            // The kernel gives the same name to the new rule's inner set.
            "delete rule inet t judge handle H\nadd rule inet t judge index 0 tcp dport { 22, 80, 444 } counter accept",
        ] {
            load(STRUCTURE);
            load(
                "table inet t { set spare { type ipv4_addr; } \n quota spare { 1 mbytes; } \n chain spare { } }",
            );
            if change == FLOWTABLE && text::check(change).is_err() {
                println!("SKIPPED {change}: not in this kernel");
                continue;
            }
            let before = structure(&mut netlink);
            let list = run("nft -a list chain inet t judge");
            let line = list.lines().find(|line| line.contains("443")).unwrap();
            let handle = line.rsplit(' ').next().unwrap();
            for line in change.replace("handle H", &format!("handle {handle}")).lines() {
                load(line);
            }
            let after = structure(&mut netlink);
            assert_ne!(before.digest, after.digest, "{change}");
            assert!(netlink.delete_table("t").unwrap());
        }
    });
}

#[test]
fn packets_time_and_elements_do_not_alter_the_digest() {
    in_namespace("structure::packets_time_and_elements_do_not_alter_the_digest", || {
        load(STRUCTURE);
        let mut netlink = Netlink::open().unwrap();
        let before = structure(&mut netlink);
        let server = UdpSocket::bind("127.0.0.1:5060").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let bans = Set::new("t", "bans", Kind::Addresses(Family::V4));
        for round in 0..30_u8 {
            for _ in 0..300 {
                client.send_to(&[0; 1000], server.local_addr().unwrap()).unwrap();
            }
            let mut transaction = netlink.transaction();
            let address = std::net::IpAddr::from([192, 0, 2, round]);
            let element = Element::from(address).lasting(Duration::from_millis(20));
            transaction.add(&bans, [element]);
            transaction.commit().unwrap();
            assert_eq!(structure(&mut netlink).digest, before.digest, "round {round}");
        }
        // It was a real test: the counters moved, the quota is used up, the meter filled.
        let list = run("nft list table inet t");
        assert!(!list.contains("counter packets 0 bytes 0 jump judge"), "{list}");
        assert!(list.contains("quota over 5 mbytes used"), "{list}");
        assert!(list.contains("127.0.0.1 limit rate"), "{list}");
        // Others' tables do not count.
        load("table inet other { chain input { type filter hook input priority 0; accept; } }");
        assert_eq!(structure(&mut netlink).digest, before.digest);
    });
}

/// A change of the table, and whether what is found then is what is left of it.
#[test]
fn what_is_left_is_told_from_what_is_new() {
    in_namespace("structure::what_is_left_is_told_from_what_is_new", || {
        let mut netlink = Netlink::open().unwrap();
        for (change, left) in [
            ("delete chain inet t spare.1", true),
            ("delete set inet t spare.2", true),
            ("delete chain inet t other", false),
            ("flush chain inet t spare.1", true),
            ("insert rule inet t judge accept", false),
            ("flush chain inet t judge", false),
            ("add chain inet t new", false),
            ("add chain inet t input { policy drop; }", false),
        ] {
            load(STRUCTURE);
            load(
                "table inet t { set spare.2 { type ipv4_addr; }
                  chain spare.1 { tcp dport { 22, 80 } accept; }\n chain other { } }",
            );
            let before = structure(&mut netlink);
            load(change);
            let after = structure(&mut netlink);
            assert_eq!(after.is_left_of(&before, |name| name.contains('.')), left, "{change}");
            assert!(netlink.delete_table("t").unwrap());
        }
    });
}

#[test]
fn own_changes_are_told_from_others() {
    in_namespace("structure::own_changes_are_told_from_others", || {
        let mut netlink = Netlink::open().unwrap();
        netlink.load(STRUCTURE).unwrap();
        let (before, own) = (netlink.generation().unwrap(), netlink.own_changes());
        let others = |netlink: &mut Netlink| {
            let all = netlink.generation().unwrap().wrapping_sub(before);
            all - netlink.own_changes().wrapping_sub(own)
        };
        let bans = Set::new("t", "bans", Kind::Addresses(Family::V4));
        let address = std::net::IpAddr::from([192, 0, 2, 1]);
        for verb in ["add", "empty"] {
            let mut transaction = netlink.transaction();
            transaction.flush(&bans);
            if verb == "add" {
                transaction.add(&bans, [Element::from(address)]);
            }
            transaction.commit().unwrap();
        }
        // Of emptying alone it is not known whether it changes anything: rather another's.
        assert_eq!(others(&mut netlink), 1);
        // Nor of an element that may be there already: added twice, it is a change but once.
        for _ in 0..2 {
            let mut transaction = netlink.transaction();
            transaction.add(&bans, [Element::from(address).lasting(Duration::from_secs(600))]);
            transaction.commit().unwrap();
        }
        assert_eq!(others(&mut netlink), 2);
        netlink.load("flush chain inet t judge\nadd rule inet t judge accept").unwrap();
        netlink.load("no such thing").unwrap_err();
        assert_eq!(others(&mut netlink), 2);
        run("nft add rule inet t judge accept");
        assert_eq!(others(&mut netlink), 3);
    });
}

#[test]
fn what_was_made_here_is_known() {
    in_namespace("structure::what_was_made_here_is_known", || {
        let mut netlink = Netlink::open().unwrap();
        let mut monitor = Monitor::open().unwrap();
        let mut check = |netlink: &Netlink, expected| {
            let change = monitor.next(Duration::from_secs(1)).unwrap().unwrap();
            assert_eq!(netlink.has_made(&change), expected, "{change:?}");
        };
        netlink.load(STRUCTURE).unwrap();
        check(&netlink, true);
        run("nft add rule inet t judge accept");
        check(&netlink, false);
        netlink.delete_table("t").unwrap();
        check(&netlink, true);
    });
}

#[test]
fn what_a_structure_tells() {
    in_namespace("structure::what_a_structure_tells", || {
        load(STRUCTURE);
        let mut netlink = Netlink::open().unwrap();
        let structure = structure(&mut netlink);
        assert_eq!(structure.table.name, "t");
        assert_eq!(structure.sets, ["accounts", "bans", "rates"]);
        let chains: Vec<(&str, u32)> =
            structure.chains.iter().map(|chain| (chain.name.as_str(), chain.rules)).collect();
        assert_eq!(chains, [("input", 4), ("judge", 4)]);
        let base = structure.chains[0].base.as_ref().unwrap();
        assert_eq!((base.hook.as_str(), base.priority, base.policy_drop), ("input", -5, false));
        assert_eq!(structure.chains[1].base, None);
        let looks_in = |chain: usize| structure.chains[chain].looks_in.iter().collect::<Vec<_>>();
        assert_eq!(looks_in(0), ["bans"]);
        assert_eq!(looks_in(1), ["__map0", "__set0"]);
    });
}

#[test]
fn a_digest_holds_while_another_table_is_rewritten() {
    in_namespace("structure::a_digest_holds_while_another_table_is_rewritten", || {
        load(STRUCTURE);
        let mut netlink = Netlink::open().unwrap();
        let before = structure(&mut netlink);
        for _ in 0..20 {
            load("table inet other { chain x { accept; } }\ndelete table inet other");
            assert_eq!(structure(&mut netlink).digest, before.digest);
        }
    });
}

#[test]
fn tables_and_base_chains_of_all() {
    in_namespace("structure::tables_and_base_chains_of_all", || {
        let mut netlink = Netlink::open().unwrap();
        assert_eq!(netlink.tables().unwrap(), []);
        assert_eq!(netlink.base_chains().unwrap(), []);
        assert!(!netlink.table_exists("t").unwrap());
        assert!(!netlink.delete_table("t").unwrap());
        load(STRUCTURE);
        load("table ip filter { chain INPUT { type filter hook input priority filter; policy drop; accept; } }
              table ip nat { chain POSTROUTING { type nat hook postrouting priority srcnat; } }
              table ip6 sleeping { flags dormant; chain x { type filter hook forward priority 10; } }
              table netdev early { chain lo { type filter hook ingress device lo priority -500; } }
              table arp a { chain out { type filter hook output priority 0; } }");
        let tables: Vec<String> = netlink
            .tables()
            .unwrap()
            .iter()
            .map(|t| format!("{} {} {}", t.family, t.name, t.dormant))
            .collect();
        assert_eq!(
            tables,
            [
                "inet t false",
                "ip filter false",
                "ip nat false",
                "ip6 sleeping true",
                "arp a false",
                "netdev early false"
            ]
        );
        let chains: Vec<String> = netlink
            .base_chains()
            .unwrap()
            .iter()
            .map(|c| {
                format!(
                    "{} {} {} {} {} {} {} {}",
                    c.family, c.table, c.name, c.kind, c.hook, c.priority, c.policy_drop, c.rules
                )
            })
            .collect();
        assert_eq!(
            chains,
            [
                "inet t input filter input -5 false 4",
                "ip filter INPUT filter input 0 true 1",
                "ip nat POSTROUTING nat postrouting 100 false 0",
                "ip6 sleeping x filter forward 10 false 0",
                "arp a out filter output 0 false 0",
                "netdev early lo filter ingress -500 false 0",
            ]
        );
        assert!(netlink.table_exists("t").unwrap());
        // Of that name, but of another family.
        assert!(!netlink.table_exists("filter").unwrap());
        assert_eq!(netlink.tables().unwrap()[0].family, TableFamily::Inet);
        assert!(netlink.delete_table("t").unwrap());
        assert!(!netlink.table_exists("t").unwrap());
        assert_eq!(netlink.tables().unwrap().len(), 5);
    });
}

#[test]
fn named_counters() {
    in_namespace("structure::named_counters", || {
        load("table inet t { counter one { packets 5 bytes 700 } \n counter two { } \n quota q { 1 mbytes; } }
              table inet other { counter three { packets 1 bytes 1 } }");
        let mut netlink = Netlink::open().unwrap();
        let counters = netlink.counters("t").unwrap();
        let five = Counter { packets: 5, bytes: 700 };
        assert_eq!(
            counters.into_iter().collect::<Vec<_>>(),
            [("one".to_owned(), five), ("two".to_owned(), Counter::default())]
        );
        assert!(netlink.counters("absent").unwrap().is_empty());
    });
}

#[test]
fn generations_count_up() {
    in_namespace("structure::generations_count_up", || {
        let mut netlink = Netlink::open().unwrap();
        let before = netlink.generation().unwrap();
        load("table inet t { }");
        assert_eq!(netlink.generation().unwrap(), before + 1);
        netlink.transaction().commit().unwrap();
        assert_eq!(netlink.generation().unwrap(), before + 1);
    });
}

#[test]
fn a_wrong_text_changes_nothing() {
    in_namespace("structure::a_wrong_text_changes_nothing", || {
        let mut netlink = Netlink::open().unwrap();
        let wrong = format!("{STRUCTURE}\nadd rule inet t nowhere accept\n");
        let Err(NftError::Refused { message }) = netlink.load(&wrong) else { panic!() };
        assert!(message.contains("No such file or directory"), "{message}");
        assert!(message.contains("nowhere"), "{message}");
        assert!(!Netlink::open().unwrap().table_exists("t").unwrap());
        text::check(STRUCTURE).unwrap();
        assert!(!Netlink::open().unwrap().table_exists("t").unwrap());
        // A text larger than any pipe, refused at its first line.
        let long = format!("nonsense\n{}", "add table inet t\n".repeat(100_000));
        let Err(NftError::Refused { message }) = netlink.load(&long) else { panic!() };
        assert!(message.contains("syntax error"), "{message}");
        assert!(message.lines().count() <= 12);
    });
}
