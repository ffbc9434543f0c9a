//! Changes as they happen.

use std::net::IpAddr;
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

        let set = Set::new("t", "s", Kind::Addresses(Family::V4));
        let mut transaction = netlink.transaction();
        transaction.add(&set, [IpAddr::from([192, 0, 2, 1])]);
        transaction.commit().unwrap();
        let change = monitor.next(SOON).unwrap().unwrap();
        assert_eq!(change.port, Some(netlink.port()));
        assert!(change.process_id.is_some());
        assert!(change.touches("t"));

        load("flush ruleset");
        let change = monitor.next(SOON).unwrap().unwrap();
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
        let all = || (0..100_000_u32).map(|number| IpAddr::from(number.to_be_bytes()));
        for _ in 0..5 {
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
