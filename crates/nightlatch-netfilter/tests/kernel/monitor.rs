//! Changes as they happen.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nightlatch_netfilter::{Kind, Monitor, Netlink, Set, TableFamily};
use nightlatch_parse::address::Family;

use crate::namespace::{in_namespace, load};

const SOON: Duration = Duration::from_secs(5);
const NOW: Duration = Duration::from_millis(50);

#[test]
fn who_changed_what() {
    in_namespace("monitor::who_changed_what", || {
        let mut monitor = Monitor::open().unwrap();
        let mut netlink = Netlink::open().unwrap();
        assert_eq!(monitor.next(NOW).unwrap(), None);

        load(
            "table inet t { set s { type ipv4_addr; } \n chain c { accept; } \n }\ntable ip other { }",
        );
        let change = monitor.next(SOON).unwrap().unwrap();
        assert_eq!(change.generation, Some(netlink.generation().unwrap()));
        assert_eq!(change.program, "nft");
        assert!(change.process_id.is_some());
        assert_ne!(change.port, Some(netlink.port()));
        let tables: Vec<_> = change.tables.iter().cloned().collect();
        assert_eq!(
            tables,
            [(TableFamily::Inet, "t".to_owned()), (TableFamily::Ip, "other".to_owned())]
        );
        assert!(change.touches("t") && !change.touches("other"));
        assert!(change.touches_more("t", |_| false));

        let set = Set::new("t", "s", Kind::Addresses(Family::V4));
        let mut transaction = netlink.transaction();
        transaction.add(&set, [IpAddr::from([192, 0, 2, 1])]);
        transaction.commit().unwrap();
        let change = monitor.next(SOON).unwrap().unwrap();
        assert_eq!(change.port, Some(netlink.port()));
        assert!(change.process_id.is_some());
        assert!(change.touches("t"));
        assert!(change.touches_more("t", |set| set == "s"));
        assert!(!change.touches_more("t", |set| set != "s"));

        load("flush ruleset");
        let change = monitor.next(SOON).unwrap().unwrap();
        assert!(change.touches_more("t", |_| false));
        assert!(change.touches("t") && !change.lost);
        assert_eq!(change.generation, Some(netlink.generation().unwrap()));
        assert_eq!(monitor.next(NOW).unwrap(), None);
    });
}

#[test]
fn an_overrun_is_told_and_survived() {
    in_namespace("monitor::an_overrun_is_told_and_survived", || {
        let mut monitor = Monitor::open().unwrap();
        let mut netlink = Netlink::open().unwrap();
        load("table inet t { set s { type ipv4_addr; } }");
        let set = Set::new("t", "s", Kind::Addresses(Family::V4));
        let all = || (0..20_000_u32).map(|number| IpAddr::from(number.to_be_bytes()));
        for _ in 0..10 {
            let mut transaction = netlink.transaction();
            transaction.flush(&set).add(&set, all());
            transaction.commit().unwrap();
        }
        let mut lost = 0;
        let mut changes = 0;
        while let Some(change) = monitor.next(NOW).unwrap() {
            lost += u32::from(change.lost);
            changes += 1;
            assert!(changes < 100);
        }
        assert!(lost > 0, "{changes} changes, none lost");
        load("delete table inet t");
        let change = monitor.next(SOON).unwrap().unwrap();
        assert_eq!((change.lost, change.program.as_str()), (false, "nft"));
    });
}

#[test]
fn a_pause_for_large_transactions() {
    in_namespace("monitor::a_pause_for_large_transactions", || {
        let mut monitor = Monitor::open().unwrap();
        let mut netlink = Netlink::open().unwrap();
        load("table inet t { set s { type ipv4_addr; } }");
        assert_eq!(monitor.next(SOON).unwrap().unwrap().program, "nft");
        let set = Set::new("t", "s", Kind::Addresses(Family::V4));
        let fill = |netlink: &mut Netlink, numbers: Range<u32>| {
            let mut transaction = netlink.transaction();
            let all = numbers.map(|number| IpAddr::from(number.to_be_bytes()));
            transaction.add(&set, all);
            transaction.commit().unwrap();
        };
        monitor.pause_for(&mut netlink);
        fill(&mut netlink, 0..10_000);
        assert_eq!(monitor.next(NOW).unwrap(), None);
        // Small ones are heard, and all from others.
        fill(&mut netlink, 10_000..10_001);
        let heard = monitor.next(SOON).unwrap().unwrap();
        assert_eq!(heard.port, Some(netlink.port()));
        load("add chain inet t c");
        let heard = monitor.next(SOON).unwrap().unwrap();
        assert_eq!((heard.program.as_str(), heard.lost), ("nft", false));
        // A refused one leaves the monitor listening as well.
        let mut transaction = netlink.transaction();
        transaction.flush(&set).delete(&set, [IpAddr::from([192, 0, 2, 1])]);
        assert!(transaction.commit().unwrap_err().is_missing());
        assert_eq!(monitor.next(NOW).unwrap(), None);
        load("add chain inet t d");
        assert!(monitor.next(SOON).unwrap().is_some());
    });
}

#[test]
fn nothing_is_missed_in_a_pause() {
    in_namespace("monitor::nothing_is_missed_in_a_pause", || {
        let mut monitor = Monitor::open().unwrap();
        let mut netlink = Netlink::open().unwrap();
        let mut other = Netlink::open().unwrap();
        load(
            "table inet t { set s { type ipv4_addr; } }\ntable inet u { set s { type ipv4_addr; } }",
        );
        monitor.next(SOON).unwrap().unwrap();
        monitor.pause_for(&mut netlink);
        let set = Set::new("t", "s", Kind::Addresses(Family::V4));
        let foreign = Set::new("u", "s", Kind::Addresses(Family::V4));
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut number = 0_u32;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let mut transaction = other.transaction();
                    transaction.add(&foreign, [IpAddr::from(number.to_be_bytes())]);
                    transaction.commit().unwrap();
                }
            });
            for _ in 0..5 {
                let mut transaction = netlink.transaction();
                transaction.flush(&set);
                transaction.add(&set, (0..20_000_u32).map(|n| IpAddr::from(n.to_be_bytes())));
                transaction.commit().unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
        // Every generation was heard, or it was said that some were not.
        let (mut lost, mut heard) = (false, 0);
        while let Some(change) = monitor.next(NOW).unwrap() {
            lost |= change.lost;
            heard += 1;
        }
        assert!(lost, "{heard} changes heard");
    });
}
