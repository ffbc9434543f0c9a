//! Sets of learned state, with one that only the tests declare.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::action::Unlearn;
use crate::signalling::LearnedBy;
use crate::time::Time;
use crate::{AddrRange, Family};

/// What a further set needs: this declaration, and its rules.
static KNOCKED: SetSpec = SetSpec {
    name: "knocked",
    shape: Shape::Address,
    timeout: Duration::from_secs(8),
    size: 3,
    filled: Filled::ByPackets,
    effect: Effect::Allows,
    saved: Some("knocked"),
};

const NOW: Time = Time::from_millis(1_000_000);

fn at(seconds: u64) -> Time {
    NOW.after(Duration::from_secs(seconds))
}

fn element(set: &'static SetSpec, last: u8, until: Time) -> Element {
    let address = [203, 0, 113, last].into();
    let protocol = if set.shape == Shape::Flow { 17 } else { 0 };
    let port = if matches!(set.shape, Shape::Address | Shape::Port) { 0 } else { 5060 };
    Element { set, key: Key { address, protocol, port, local_port: port }, until }
}

#[test]
fn a_further_set_needs_only_its_declaration() {
    assert_eq!(
        KNOCKED.declaration(Family::V6),
        "\tset knocked6 {\n\t\ttype ipv6_addr\n\t\tsize 3\n\t\tflags dynamic,timeout\n\t\ttimeout 8s\n\t}\n"
    );
    // Read, and read again: what the kernel no longer has is forgotten.
    let mut sets = LearnedSets::default();
    let declared = [&KNOCKED, &cut::SET];
    let cut = element(&cut::SET, 1, at(60));
    sets.were_read(&declared, [element(&KNOCKED, 7, at(5)), element(&KNOCKED, 8, at(8)), cut], NOW);
    sets.were_read(&declared, [element(&KNOCKED, 8, at(8))], NOW);
    assert_eq!(sets.at(NOW).collect::<Vec<_>>(), [cut, element(&KNOCKED, 8, at(8))]);
    // Put back with the time that it has left, never with more than its set gives.
    let left = |until| element(&KNOCKED, 8, until).lasting(NOW).map(|it| it.left.as_secs());
    assert_eq!([at(8), at(3), NOW].map(left), [Some(8), Some(3), None]);
    assert_eq!(left(Time::from_millis(i64::MAX)), Some(8));
    // Saved, and restored by whoever declares it.
    let text = write(&sets, NOW);
    let restored = |declared: &[&'static SetSpec]| {
        read(text.as_bytes(), declared.iter().copied()).unwrap().at(NOW).collect::<Vec<_>>()
    };
    assert_eq!(restored(&declared), [element(&KNOCKED, 8, at(8))], "no flow survives a reboot");
    assert_eq!(restored(&[&cut::SET]), []);
    // Deleted where the address is closed.
    let closed = Unlearn::Within(vec!["203.0.113.0/24".parse::<AddrRange>().unwrap()]);
    sets.forget(|set, key| closed.concerns(set, key));
    assert_eq!(sets.at(NOW).collect::<Vec<_>>(), [cut], "a cut flow stays cut");
}

#[test]
fn names_are_used_once() {
    let once = |names: Vec<&str>| names.iter().collect::<BTreeSet<_>>().len() == names.len();
    assert!(once(all().map(|set| set.name).collect()));
    assert!(once(all().filter_map(|set| set.saved).collect()));
}

#[test]
fn a_full_set_takes_no_new_elements() {
    let mut sets = LearnedSets::default();
    let added = (0..9).filter(|last| sets.put(element(&KNOCKED, *last, at(5)))).count();
    assert_eq!(added, KNOCKED.capacity());
    assert!(sets.put(element(&KNOCKED, 0, at(6))), "one that is in it is renewed");
}

#[test]
fn it_is_saved_if_something_comes_goes_or_moves_by_a_quarter() {
    let set = LearnedBy::Called.set();
    let timeout = set.timeout.as_secs();
    let known = |ends: &[(u8, u64)]| -> LearnedSets {
        ends.iter().map(|(last, end)| element(set, *last, at(*end))).collect()
    };
    let saved = known(&[(1, timeout / 2), (2, 100)]);
    let differs = |ends: &[(u8, u64)], now| known(ends).differs_from(&saved, now);
    assert!(!differs(&[(1, timeout / 2), (2, 100)], NOW));
    assert!(!differs(&[(1, timeout * 3 / 4 - 1), (2, 100)], NOW), "renewed a little");
    assert!(differs(&[(1, timeout * 3 / 4), (2, 100)], NOW), "renewed by a quarter");
    assert!(differs(&[(1, timeout / 2)], NOW), "one is gone");
    assert!(!differs(&[(1, timeout / 2)], at(100)), "one has ended");
    assert!(differs(&[(1, timeout / 2), (3, 100)], NOW), "another one");
    assert!(differs(&[(1, timeout / 2), (2, 100), (3, 9)], NOW), "one more");
    // Each lease has a limit of its own, far below the longest that there may be.
    let lease = |end| -> LearnedSets {
        std::iter::once(element(&crate::condition::LEASE, 1, at(end))).collect()
    };
    let eight_hours = 8 * 3600;
    let left = eight_hours * 3 / 4;
    assert!(lease(eight_hours).differs_from(&lease(left - 1), NOW), "renewed by a quarter");
    assert!(!lease(eight_hours).differs_from(&lease(left + 60), NOW), "renewed a little");
    let asked = LearnedBy::Asked.set();
    let mut more = saved.clone();
    more.put(element(asked, 9, at(30)));
    assert!(!more.differs_from(&saved, NOW), "what is not saved does not count");
}

#[test]
fn files_of_older_versions_are_read_and_bad_items_ignored() {
    let read = |text: &str| read(text.as_bytes(), all()).map(|sets| sets.at(NOW).count());
    let row = |by: &str, address: &str, port: u16| {
        let until = at(50).millis();
        format!(
            "{{\"by\":\"{by}\",\"address\":\"{address}\",\"port\":{port},\"local_port\":{port},\"until\":{until}}}"
        )
    };
    let first = row("registered", "203.0.113.7", 5060);
    let second = row("registered-by-tcp", "2001:db8::7", 0);
    assert_eq!(read(&format!("[{first},{second}]")).unwrap(), 2);
    assert_eq!(read("[]").unwrap(), 0);
    let bad = [
        "7",
        "[[[]]]",
        "{\"set\":\"registered\"}",
        &row("cut", "203.0.113.7", 1),
        &row("asked", "203.0.113.7", 1),
        &row("registered-by-tcp", "203.0.113.7", 1),
        &row("registered", "the carrier", 1),
    ];
    assert_eq!(read(&format!("[{},{first}]", bad.join(","))).unwrap(), 1);
    for refused in ["", "{}", "[{", "[] []", "[{\"version\":3}]"] {
        assert!(read(refused).is_err(), "{refused}");
    }
}

/// Elements of three sets, so few that they often meet.
fn some() -> impl Strategy<Value = LearnedSets> {
    let sets = [&KNOCKED, &cut::SET, LearnedBy::Called.set()];
    let one = (0..sets.len(), 0u8..5, 0u64..20)
        .prop_map(move |(set, last, end)| element(sets[set], last, at(end)));
    prop::collection::vec(one, 0..20).prop_map(|elements| elements.into_iter().collect())
}

fn merged(one: &LearnedSets, other: &LearnedSets, now: Time) -> LearnedSets {
    let mut one = one.clone();
    one.merge(other, now);
    one
}

proptest! {
    #[test]
    fn a_later_end_wins_and_the_past_is_dropped(one in some(), other in some(), third in some(), seconds in 0u64..20) {
        let now = at(seconds);
        let both = merged(&one, &other, now);
        prop_assert_eq!(&both, &merged(&other, &one, now), "the order does not matter");
        let (left, right) = (merged(&both, &third, now), merged(&one, &merged(&other, &third, now), now));
        prop_assert_eq!(left, right, "nor does the grouping");
        prop_assert_eq!(&merged(&both, &one, now), &both, "nor a repetition");
        let end = |sets: &LearnedSets, it: &Element| sets.until(it.set, &it.key, NOW);
        for it in one.at(NOW).chain(other.at(NOW)) {
            let latest = end(&one, &it).max(end(&other, &it)).filter(|end| *end > now);
            prop_assert_eq!(end(&both, &it), latest);
        }
        for it in both.at(NOW) {
            prop_assert!(it.until > now && (end(&one, &it).is_some() || end(&other, &it).is_some()));
        }
    }

    #[test]
    fn what_is_saved_is_read_back(sets in some()) {
        let declared = [&KNOCKED, &cut::SET, LearnedBy::Called.set()];
        let restored = read(write(&sets, NOW).as_bytes(), declared.into_iter()).unwrap();
        prop_assert!(!sets.differs_from(&restored, NOW) && !restored.differs_from(&sets, NOW));
        prop_assert_eq!(restored.of(&cut::SET, NOW).count(), 0);
    }

    #[test]
    fn hostile_text_is_read_without_harm(text in "[\\[\\]{}:,\"a-z0-9. ]{0,200}") {
        let _ = read(text.as_bytes(), all());
    }
}
