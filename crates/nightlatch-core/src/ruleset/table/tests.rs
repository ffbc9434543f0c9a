//! Changes in place, against the table compiled from nothing.

use crate::features::{accounts, blocks, denials};
use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::features::Change;
use crate::features::accounts::{Account, Entry};
use crate::features::blocks::Block;
use crate::features::denials::{Denial, DenialCause};

const NOW: Time = Time::from_millis(1_000_000);
const GRANTS: [&str; 4] = ["all", "sip", "ssh,web", "sip,web"];

/// A range near the beginning or the end of a family's addresses.
fn ranges() -> impl Strategy<Value = AddrRange> {
    (any::<bool>(), 0u128..48, prop_oneof![Just(0u128), 0u128..20, Just(u128::MAX)]).prop_map(
        |(v6, first, width)| {
            let family = if v6 { Family::V6 } else { Family::V4 };
            let highest = family.highest();
            let first = if first >= 24 { highest - 47 + first } else { first };
            AddrRange::new(family, first, first.saturating_add(width).min(highest)).unwrap()
        },
    )
}

fn changes() -> impl Strategy<Value = Change> {
    let name = (0usize..5).prop_map(|number| format!("a{number}").parse().unwrap());
    // Some ends lie in the past.
    let until = proptest::option::of(Just(Time::from_millis(NOW.millis() - 1)));
    let account =
        (name.clone(), proptest::collection::vec(ranges(), 1..5), 0..GRANTS.len(), until.clone())
            .prop_map(|(name, ranges, services, until)| {
                accounts::put(Account {
                    hours: None,
                    name,
                    entries: ranges.into_iter().map(Entry::Range).collect(),
                    services: Grant::parse(GRANTS[services]).unwrap(),
                    until,
                    note: String::new(),
                    allow_private: false,
                    since: NOW,
                    by: String::new(),
                })
            });
    let block = (ranges(), until).prop_map(|(range, until)| {
        let (reason, by) = (String::new(), String::new());
        blocks::put(Block { range, until, reason, since: NOW, by })
    });
    let denial = (ranges(), any::<bool>()).prop_map(|(range, media)| {
        let cause = DenialCause::AccountGone { account: String::new() };
        let scope = if media { DenialScope::Everything } else { DenialScope::ExceptMedia };
        denials::put(Denial { scope, ..Denial::new(range, cause, NOW) })
    });
    prop_oneof![
        3 => account,
        2 => name.prop_map(accounts::removed),
        3 => block,
        1 => ranges().prop_map(blocks::removed),
        2 => denial,
        1 => ranges().prop_map(denials::removed),
    ]
}

/// Makes a change, and returns the ranges that it touches and the change that takes it back.
fn apply(state: &mut State, change: Change) -> (Vec<AddrRange>, Change) {
    let mut touched = change.ranges();
    let undo = state.apply(change);
    touched.extend(undo.ranges());
    (touched, undo)
}

/// What a table is after a difference, as the kernel executes it.
fn executed(mut pieces: BTreeSet<String>, delta: &Delta) -> BTreeSet<String> {
    let key = |(range, target): &Piece| format!("{range} {:?} {:?}", target.chain, target.closure);
    for gone in &delta.gone {
        assert!(pieces.remove(&key(gone)), "it was not there: {gone:?}");
    }
    for new in &delta.new {
        assert!(pieces.insert(key(new)), "it was there already: {new:?}");
    }
    pieces
}

fn kernel(table: &Table) -> BTreeSet<String> {
    executed(BTreeSet::new(), &Delta { gone: Vec::new(), new: table.iter().collect() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Difference by difference, the table is what it would be compiled from nothing; differences
    /// can be joined; and a change taken back leaves no trace.
    #[test]
    fn differences_lead_to_the_compiled_table(
        steps in proptest::collection::vec((changes(), any::<bool>()), 1..14)
    ) {
        let (mut state, mut table) = (State::default(), Table::default());
        let (mut in_kernel, mut joined) = (BTreeSet::new(), Delta::default());
        for (change, take_back) in steps {
            let before = table.clone();
            let (touched, undo) = apply(&mut state, change);
            let delta = table.renew(&touched, &state, NOW);
            in_kernel = executed(in_kernel, &delta);
            joined.then(delta.clone());
            prop_assert_eq!(&table, &Table::compile(&state, NOW));
            if take_back {
                let (touched, _) = apply(&mut state, undo);
                let back = table.renew(&touched, &state, NOW);
                in_kernel = executed(in_kernel, &back);
                joined.then(back.clone());
                prop_assert_eq!(&table, &before);
                // Nothing goes only to come again.
                let mut both = delta;
                both.then(back);
                prop_assert!(both.is_empty(), "{:?}", both);
            }
        }
        prop_assert_eq!(&in_kernel, &kernel(&table));
        prop_assert_eq!(&executed(BTreeSet::new(), &joined), &in_kernel);
    }

    /// Every address has the answer that `judge` decides by.
    #[test]
    fn each_address_has_the_answer_of_its_claims(
        steps in proptest::collection::vec(changes(), 1..14), at in ranges()
    ) {
        let (mut state, mut table) = (State::default(), Table::default());
        for change in steps {
            let (touched, _) = apply(&mut state, change);
            let _ = table.renew(&touched, &state, NOW);
        }
        for address in [at.first_address(), at.last_address()] {
            let mut weighing = crate::policy::Weighing::default();
            state.claims(AddrRange::from(address), NOW, &mut |claim| weighing.add(&claim));
            prop_assert_eq!(table.at(address), weighing.answer());
        }
    }
}

#[test]
fn long_unions_have_short_names_of_their_own() {
    let names = |last: &str| {
        let names = (0..10).map(|number| format!("service-number-{number}"));
        Grant::try_from(names.chain([last.to_owned()]).collect::<Vec<_>>()).unwrap()
    };
    let (one, other) = (union_name(&names("one")), union_name(&names("other")));
    assert_ne!(one, other);
    assert!(one.starts_with("many.") && one.len() == 37, "{one}");
    assert_eq!(union_name(&Grant::parse("web,sip-tls").unwrap()), "sip_tls.web");
}
