//! Elements: written by netlink, read by `nft`, and the other way round.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use nightlatch_netfilter::{Element, FlowKey, Key, Kind, Netlink, NetlinkError, Set, Verdict};
use nightlatch_parse::address::{AddrRange, Family};

use crate::namespace::{in_namespace, load, run};

const STRUCTURE: &str = "
table inet t {
    chain office { counter; accept; }
    chain carrier { counter; accept; }
    set ranges4 { type ipv4_addr; flags interval; }
    set ranges6 { type ipv6_addr; flags interval; }
    map accounts4 { type ipv4_addr : verdict; flags interval; }
    map accounts6 { type ipv6_addr : verdict; flags interval; }
    set bans4 { type ipv4_addr; flags timeout; }
    set bans6 { type ipv6_addr; flags timeout; }
    set flows4 { type ipv4_addr . inet_proto . inet_service . inet_service; flags dynamic,timeout; size 100; }
    set flows6 { type ipv6_addr . inet_proto . inet_service . inet_service; flags dynamic,timeout; size 100; }
    set switch { type nf_proto; flags timeout; }
}";

fn range(text: &str) -> AddrRange {
    text.parse().unwrap()
}

fn ranges(texts: &[&str]) -> Vec<AddrRange> {
    texts.iter().map(|text| range(text)).collect()
}

fn set(name: &str, kind: Kind) -> Set {
    Set::new("t", name, kind)
}

fn ranges4() -> Set {
    set("ranges4", Kind::Ranges(Family::V4))
}

fn bans4() -> Set {
    set("bans4", Kind::Addresses(Family::V4))
}

fn start() -> Netlink {
    load(STRUCTURE);
    Netlink::open().unwrap()
}

fn add(netlink: &mut Netlink, set: &Set, elements: Vec<Element>) -> Result<(), NetlinkError> {
    let mut transaction = netlink.transaction();
    transaction.add(set, elements);
    transaction.commit()
}

/// Adds ranges, and wants to read them back, see what `nft` shows, and delete them again.
fn check_ranges(netlink: &mut Netlink, set: &Set, texts: &[&str], shown: &[&str]) {
    let elements: Vec<Element> = ranges(texts).into_iter().map(Element::from).collect();
    add(netlink, set, elements.clone()).unwrap();
    assert_eq!(netlink.read(set).unwrap(), elements);
    assert_eq!(netlink.count(set).unwrap(), elements.len());
    assert!(netlink.matches(set, elements.clone()).unwrap());
    assert!(!netlink.matches(set, elements.iter().skip(1).cloned()).unwrap());
    let list = run(&format!("nft list set inet t {}", set.name()));
    for text in shown {
        assert!(list.contains(text), "{text} is missing in {list}");
    }
    let mut transaction = netlink.transaction();
    transaction.delete(set, elements);
    transaction.commit().unwrap();
    assert_eq!(netlink.read(set).unwrap(), []);
}

#[test]
fn ranges_of_ipv4() {
    in_namespace("sets::ranges_of_ipv4", || {
        let mut netlink = start();
        let all = ["192.0.2.1", "192.0.2.8/29", "198.51.100.3-198.51.100.77"];
        check_ranges(&mut netlink, &ranges4(), &all, &all);
        let ends = ["0.0.0.0", "0.0.0.5", "255.255.255.0/24"];
        check_ranges(&mut netlink, &ranges4(), &ends, &ends);
        check_ranges(&mut netlink, &ranges4(), &["0.0.0.0/0"], &[]);
        check_ranges(&mut netlink, &ranges4(), &["255.255.255.255"], &["255.255.255.255"]);
        // Ranges that touch stay apart.
        check_ranges(
            &mut netlink,
            &ranges4(),
            &["192.0.2.0/25", "192.0.2.128/25", "192.0.3.0/24"],
            &["192.0.2.0/25"],
        );
    });
}

#[test]
fn ranges_of_ipv6() {
    in_namespace("sets::ranges_of_ipv6", || {
        let mut netlink = start();
        let set = set("ranges6", Kind::Ranges(Family::V6));
        let all = ["2001:db8::1", "2001:db8:1::/48", "2001:db8:2::5-2001:db8:2::f:0"];
        check_ranges(&mut netlink, &set, &all, &all);
        let ends = ["::", "ffff:ffff:ffff:ffff::/64"];
        check_ranges(&mut netlink, &set, &ends, &ends);
        check_ranges(&mut netlink, &set, &["::/0"], &[]);
    });
}

#[test]
fn what_nft_wrote_is_read() {
    in_namespace("sets::what_nft_wrote_is_read", || {
        let mut netlink = start();
        load("add element inet t ranges4 { 192.0.2.0/24, 198.51.100.7, 255.255.255.0/24 }");
        load("add element inet t accounts6 { 2001:db8::/32 : jump office, ::1 : drop }");
        load("add element inet t flows4 { 192.0.2.9 . udp . 5062 . 5060 timeout 1h }");
        load("add element inet t switch { ipv6 timeout 1m }");
        let expected = ranges(&["192.0.2.0/24", "198.51.100.7", "255.255.255.0/24"]);
        let expected: Vec<Element> = expected.into_iter().map(Element::from).collect();
        assert_eq!(netlink.read(&ranges4()).unwrap(), expected);
        assert!(netlink.matches(&ranges4(), expected).unwrap());
        let accounts = set("accounts6", Kind::Ranges(Family::V6));
        let mut drop = Element::from(range("::1"));
        drop.verdict = Some(Verdict::Drop);
        assert_eq!(
            netlink.read(&accounts).unwrap(),
            [drop, Element::jump(range("2001:db8::/32"), "office")]
        );
        let flows = netlink.read(&set("flows4", Kind::Flows(Family::V4))).unwrap();
        assert_eq!(flows[0].key, Key::Flow(flow("192.0.2.9")));
        assert!(flows[0].timeout.unwrap() > Duration::from_secs(3500));
        let switch = netlink.read(&set("switch", Kind::Number)).unwrap();
        assert_eq!(switch[0].key, Key::Number(10));
        assert!(switch[0].timeout.unwrap() <= Duration::from_mins(1));
    });
}

fn flow(peer: &str) -> FlowKey {
    FlowKey { peer: peer.parse().unwrap(), protocol: 17, peer_port: 5062, local_port: 5060 }
}

#[test]
fn verdict_maps() {
    in_namespace("sets::verdict_maps", || {
        let mut netlink = start();
        for (name, family, texts) in [
            ("accounts4", Family::V4, ["192.0.2.0/25", "192.0.2.128/25", "198.51.100.1"]),
            ("accounts6", Family::V6, ["2001:db8::/33", "2001:db8:8000::/33", "ff00::/8"]),
        ] {
            let set = set(name, Kind::Ranges(family));
            let mut elements = Vec::new();
            for (text, chain) in texts.iter().zip(["office", "carrier", "office"]) {
                elements.push(Element::jump(range(text), chain));
            }
            add(&mut netlink, &set, elements.clone()).unwrap();
            assert_eq!(netlink.read(&set).unwrap(), elements);
            assert!(netlink.matches(&set, elements.clone()).unwrap());
            let shown = run(&format!("nft list map inet t {name}"));
            for element in &elements {
                let Some(Verdict::Jump(chain)) = &element.verdict else { panic!() };
                let text = format!("{} : jump {chain}", element.key);
                assert!(shown.contains(&text), "{text} is missing in {shown}");
            }
            // Another verdict for one of them is seen.
            let mut other = elements.clone();
            other[1].verdict = Some(Verdict::Accept);
            assert!(!netlink.matches(&set, other).unwrap());
            // Another chain for an element: delete and add in one transaction.
            let moved = Element::jump(range(texts[0]), "carrier");
            let mut transaction = netlink.transaction();
            transaction.delete(&set, [range(texts[0])]);
            transaction.add(&set, [moved.clone()]);
            transaction.commit().unwrap();
            assert_eq!(netlink.read(&set).unwrap()[0], moved);
        }
    });
}

#[test]
fn addresses_that_run_out() {
    in_namespace("sets::addresses_that_run_out", || {
        let mut netlink = start();
        let set = bans4();
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let elements = vec![
            Element::from(address(1)).lasting(Duration::from_millis(300)),
            Element::from(address(2)).lasting(Duration::from_hours(1)),
            Element::from(address(3)),
        ];
        add(&mut netlink, &set, elements).unwrap();
        let read = netlink.read(&set).unwrap();
        assert_eq!(read.len(), 3);
        assert!(read[0].timeout.unwrap() <= Duration::from_millis(300));
        assert!(read[1].timeout.unwrap() > Duration::from_secs(3590));
        assert_eq!(read[2].timeout, None);
        std::thread::sleep(Duration::from_millis(500));
        assert!(netlink.matches(&set, [address(2), address(3)]).unwrap());
        // Renewing, and taking away one that has run out already.
        let mut transaction = netlink.transaction();
        transaction.remove(&set, [address(1), address(2), address(4)]);
        transaction.add(&set, [Element::from(address(2)).lasting(Duration::from_mins(1))]);
        transaction.commit().unwrap();
        let read = netlink.read(&set).unwrap();
        assert_eq!(read.len(), 2, "{read:?}");
        assert!(read[0].timeout.unwrap() <= Duration::from_mins(1));
    });
}

#[test]
fn flows_and_numbers() {
    in_namespace("sets::flows_and_numbers", || {
        let mut netlink = start();
        for (name, family, peer) in
            [("flows4", Family::V4, "192.0.2.9"), ("flows6", Family::V6, "2001:db8::9")]
        {
            let set = set(name, Kind::Flows(family));
            let element = Element::from(flow(peer)).lasting(Duration::from_hours(1));
            add(&mut netlink, &set, vec![element]).unwrap();
            let shown = run(&format!("nft -n list set inet t {name}"));
            let text = format!("{peer} . 17 . 5062 . 5060");
            assert!(shown.contains(&text), "{text} is missing in {shown}");
            assert!(netlink.matches(&set, [flow(peer)]).unwrap());
            assert!(netlink.has(&set, flow(peer).into()).unwrap());
            let mut transaction = netlink.transaction();
            transaction.delete(&set, [flow(peer)]);
            transaction.commit().unwrap();
            assert!(!netlink.has(&set, flow(peer).into()).unwrap());
            assert_eq!(netlink.count(&set).unwrap(), 0);
        }
        let switch = set("switch", Kind::Number);
        let element = Element::from(Key::Number(2)).lasting(Duration::from_mins(1));
        add(&mut netlink, &switch, vec![element]).unwrap();
        let shown = run("nft list set inet t switch");
        assert!(shown.contains("ipv4 timeout 1m"), "{shown}");
        assert!(netlink.matches(&switch, [Key::Number(2)]).unwrap());
    });
}

#[test]
fn all_or_nothing() {
    in_namespace("sets::all_or_nothing", || {
        let mut netlink = start();
        let set = ranges4();
        let kept = ranges(&["192.0.2.0/24", "203.0.113.7"]);
        add(&mut netlink, &set, kept.iter().copied().map(Element::from).collect()).unwrap();

        let mut transaction = netlink.transaction();
        transaction.flush(&set);
        transaction.add(&bans4(), [IpAddr::from([192, 0, 2, 1])]);
        transaction.add(&set, ranges(&["198.51.100.0/24"]));
        transaction.delete(&bans4(), [IpAddr::from([192, 0, 2, 77])]);
        let error = transaction.commit().unwrap_err();
        assert!(error.is_missing(), "{error}");
        let said = error.to_string();
        assert!(
            said.contains("delete from the set \"bans4\" of the table \"t\" at 192.0.2.77"),
            "{said}"
        );
        assert!(netlink.matches(&set, kept.clone()).unwrap());
        assert_eq!(netlink.count(&bans4()).unwrap(), 0);

        let overlap = add(&mut netlink, &set, vec![range("192.0.2.128-192.0.3.5").into()]);
        let error = overlap.unwrap_err();
        assert!(error.is_conflict(), "{error}");
        assert!(netlink.matches(&set, kept.clone()).unwrap());

        let missing = Set::new("t", "nowhere", Kind::Ranges(Family::V4));
        assert!(
            add(&mut netlink, &missing, vec![range("192.0.2.1").into()]).unwrap_err().is_missing()
        );
        assert!(netlink.read(&missing).unwrap_err().is_missing());

        let wrong = add(&mut netlink, &set, vec![range("2001:db8::1").into()]).unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "the element 2001:db8::1 has the wrong type for the set \"ranges4\""
        );
        netlink.transaction().commit().unwrap();

        // Replacing the whole in one transaction.
        let mut transaction = netlink.transaction();
        transaction.flush(&set).add(&set, ranges(&["192.0.2.0/25"]));
        transaction.commit().unwrap();
        assert!(netlink.matches(&set, ranges(&["192.0.2.0/25"])).unwrap());
    });
}

#[test]
fn many_in_any_order() {
    in_namespace("sets::many_in_any_order", || {
        let mut netlink = start();
        let mut all = Vec::new();
        // Scattered, each of another width, one touching the next now and then.
        for number in 0..8_000_u128 {
            let first = 0x0b00_0000 + number * 16;
            all.push(AddrRange::new(Family::V4, first, first + number % 16).unwrap());
        }
        let mut shuffled = all.clone();
        shuffled.sort_unstable_by_key(|range| range.first().wrapping_mul(0x9e37_79b9) % 100_003);
        let mut transaction = netlink.transaction();
        transaction.add(&ranges4(), shuffled);
        transaction.commit().unwrap();
        assert!(netlink.matches(&ranges4(), all.iter().copied()).unwrap());
        let read = netlink.read(&ranges4()).unwrap();
        assert!(
            read.iter().map(|e| &e.key).eq(all
                .iter()
                .map(|r| Key::Range(*r))
                .collect::<Vec<_>>()
                .iter())
        );
        let mut transaction = netlink.transaction();
        transaction.delete(&ranges4(), all.iter().copied().step_by(3));
        transaction.commit().unwrap();
        let kept = all.iter().enumerate().filter(|(at, _)| at % 3 != 0).map(|(_, r)| *r);
        assert!(netlink.matches(&ranges4(), kept).unwrap());
    });
}

#[test]
fn a_flood_of_refusals_is_one_error() {
    in_namespace("sets::a_flood_of_refusals_is_one_error", || {
        let mut netlink = start();
        let mut transaction = netlink.transaction();
        // Every message of many is refused: more answers than any buffer holds.
        for number in 0..60_000_u32 {
            transaction.delete(&bans4(), [IpAddr::from(number.to_be_bytes())]);
            transaction.delete(&ranges4(), [range("192.0.2.1")]);
        }
        let error = transaction.commit().unwrap_err();
        if matches!(error, NetlinkError::TooLarge { .. }) {
            println!("SKIPPED sets::a_flood_of_refusals_is_one_error: {error}");
            return;
        }
        assert!(error.is_missing(), "{error}");
        // The socket is as good as before.
        add(&mut netlink, &bans4(), vec![IpAddr::from([192, 0, 2, 1]).into()]).unwrap();
        assert!(netlink.generation().unwrap() > 0);
    });
}

#[test]
fn elements_of_others_are_seen() {
    in_namespace("sets::elements_of_others_are_seen", || {
        load("table inet t { set any { type ipv4_addr; flags interval; } }");
        let mut netlink = Netlink::open().unwrap();
        let set = Set::new("t", "any", Kind::Ranges(Family::V4));
        assert!(netlink.matches(&set, [] as [AddrRange; 0]).unwrap());
        add(&mut netlink, &set, vec![Key::CatchAll.into()]).unwrap();
        assert!(run("nft list set inet t any").contains('*'));
        assert!(!netlink.matches(&set, [] as [AddrRange; 0]).unwrap());
        assert_eq!(netlink.read(&set).unwrap(), [Element::from(Key::CatchAll)]);
    });
}

#[test]
fn differences_of_random_ranges() {
    in_namespace("sets::differences_of_random_ranges", || {
        let mut netlink = start();
        for (family, set) in
            [(Family::V4, ranges4()), (Family::V6, set("ranges6", Kind::Ranges(Family::V6)))]
        {
            let mut random = 0x2545_f491_4f6c_dd1d_u64;
            let mut present: BTreeSet<AddrRange> = BTreeSet::new();
            for round in 0..150 {
                let wanted = random_ranges(family, &mut random);
                let mut transaction = netlink.transaction();
                transaction.delete(&set, present.difference(&wanted).copied());
                transaction.add(&set, wanted.difference(&present).copied());
                transaction.commit().unwrap();
                let read = netlink.read(&set).unwrap();
                let read: Vec<Key> = read.iter().map(|element| element.key).collect();
                let expected: Vec<Key> = wanted.iter().copied().map(Key::Range).collect();
                assert_eq!(read, expected, "round {round}");
                assert!(netlink.matches(&set, wanted.iter().copied()).unwrap());
                present = wanted;
            }
        }
    });
}

/// Disjoint ranges, near each other, many touching, at the beginning or the end of the family.
fn random_ranges(family: Family, random: &mut u64) -> BTreeSet<AddrRange> {
    let mut next = |below: u64| {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        u128::from(*random % below)
    };
    let base = if next(2) == 0 { 0 } else { family.highest() - 255 };
    let mut ranges = BTreeSet::new();
    let mut at = next(8);
    while at < 256 {
        let last = (at + next(12)).min(255);
        if next(3) > 0 {
            ranges.insert(AddrRange::new(family, base + at, base + last).unwrap());
        }
        at = last + 1 + next(2) * next(9);
    }
    ranges
}

/// One range can be asked for, however long the set.
#[test]
fn single_ranges_are_asked_for() {
    in_namespace("sets::single_ranges_are_asked_for", || {
        let mut netlink = start();
        let four = ranges4();
        let six = set("ranges6", Kind::Ranges(Family::V6));
        let held = [
            "192.0.2.0/25",
            "192.0.2.130-192.0.2.200",
            "198.51.100.7",
            "0.0.0.0/8",
            "255.255.255.0/24",
        ];
        let held_six = ["2001:db8::/48", "2001:db8:2::-2001:db8:2::5", "ffff::/16"];
        for (set, texts) in [(&four, &held[..]), (&six, &held_six[..])] {
            let mut sorted = ranges(texts);
            assert!(!netlink.holds(set, sorted[0]).unwrap(), "the set is empty");
            sorted.sort_unstable();
            let elements = sorted.iter().map(|range| Element::from(*range)).collect();
            add(&mut netlink, set, elements).unwrap();
            for range in sorted {
                assert!(netlink.holds(set, range).unwrap(), "{range}");
            }
        }
        for text in ["192.0.2.0/24", "192.0.2.0/26", "192.0.2.64/26", "198.51.100.6/31", "1.0.0.0"]
        {
            assert!(!netlink.holds(&four, range(text)).unwrap(), "{text}");
        }
        for text in ["2001:db8::/47", "2001:db8::/49", "::1"] {
            assert!(!netlink.holds(&six, range(text)).unwrap(), "{text}");
        }
        let missing = set("none", Kind::Ranges(Family::V4));
        assert!(!netlink.holds(&missing, range("192.0.2.1")).unwrap());
    });
}
