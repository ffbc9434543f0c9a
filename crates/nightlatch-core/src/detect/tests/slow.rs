//! Who guesses one password slowly, for days: as slowly as a phone with a wrong one.

use proptest::prelude::*;

use super::*;
use crate::attack::Weight;

const GUEST: &str = "198.51.100.66";
/// How long a ban lasts whose evidence could be forged.
const BANNED: i64 = 600;

/// Somebody tries one account every so many seconds, but not while he is banned: how many attempts he
/// makes on each of the days, and how often he is banned.
fn guesses(bench: &mut Bench, pause: i64, days: i64) -> (Vec<u32>, u32) {
    let (mut made, mut bans) = (vec![0; days as usize], 0);
    let mut at = 0;
    while at < days * DAY {
        made[(at / DAY) as usize] += 1;
        let found = bench.see(&wrong(GUEST, at, "204"));
        at += pause;
        if let [attack] = attacks(&found)[..] {
            assert_eq!((attack.weight, attack.trusted_since), (Weight::Brief, None));
            assert_eq!(attack.evidence.threshold, (100, 86_400));
            bans += 1;
            at = at.max(attack.evidence.last.millis() / 1000 - START / 1000 + BANNED);
        }
    }
    (made, bans)
}

#[test]
fn a_slow_guesser_makes_one_guess_for_each_brief_ban_after_the_first_day() {
    for pause in [61, 120, 300, 600, 860] {
        let mut bench = Bench::new();
        let (made, bans) = guesses(&mut bench, pause, 30);
        assert!(bans > 0, "every {pause} s");
        assert!(made[0] <= 1440 && made[1..].iter().all(|made| *made <= 144), "{made:?}");
        let all: u32 = made.iter().sum();
        assert!(all <= 1440 + 29 * 144, "{all} every {pause} s");
    }
    // No more than 100 a day are a phone for ever.
    assert_eq!(guesses(&mut Bench::new(), 870, 30).1, 0);
}

#[test]
fn it_is_no_attack_that_begins_and_the_administrator_hears_once() {
    let mut bench = Bench::new();
    let found = bench.all((0..3 * DAY / 61).map(|n| wrong(GUEST, n * 61, "204")));
    assert_eq!(notices(&found).len(), 1, "{:?}", notices(&found));
    assert!(matches!(notices(&found)[0], Notice::BadPhone { .. }));
    let first = attacks(&found)[0];
    assert!(first.evidence.last >= second(DAY) && first.evidence.last < second(DAY + 120));
    assert_eq!((first.evidence.since, first.evidence.accounts_tried), (second(0), 1));
    assert_eq!(first.evidence.accounts, ["204"]);
    assert_eq!(bench.pass(4 * DAY), []);
}

#[test]
fn where_anybody_has_logged_in_nobody_is_banned_for_it() {
    // An office that has another address now: all of its phones register there from the first moment on,
    // which is no positive evidence, because the bad one fails at the same time.
    let mut bench = Bench::new();
    let mut found = Vec::new();
    for n in 0..10 * DAY / 61 {
        found.extend(bench.see(&wrong(GUEST, n * 61, "204")));
        if n == 1 {
            found.extend(bench.see(&success(GUEST, 62, "205")));
        }
        if n % 1000 == 0 && n > 0 {
            found.extend(bench.see(&success(GUEST, n * 61 + 1, "205")));
        }
    }
    no_attack(&found);
    // A new office in which the first phone has a wrong password for two days, and then others come: the
    // first of them that logs in between two brief bans ends these.
    let mut bench = Bench::new();
    assert!(guesses(&mut bench, 61, 2).1 > 0);
    let after: Vec<Finding> = (0..2000)
        .flat_map(|n| {
            let at = 2 * DAY + n * 61;
            [success(GUEST, at, "205"), wrong(GUEST, at + 1, "204")]
        })
        .flat_map(|shown| bench.see(&shown))
        .collect();
    no_attack(&after);
    assert!(!notices(&after).iter().any(|notice| notice.is_urgent()), "{after:#?}");
}

#[test]
fn a_pause_begins_nothing_anew() {
    let mut bench = Bench::new();
    no_attack(&bench.all((0..DAY / 61).map(|n| wrong(GUEST, n * 61, "204"))));
    // Two days later: four attempts are none that anybody hears of, and with the fifth it is the same phone.
    let again = |n: i64| wrong(GUEST, 3 * DAY + n * 61, "204");
    let found = bench.all((0..5).map(again));
    let [Notice::BadPhone { since, attempts, .. }] = notices(&found)[..] else {
        panic!("{found:#?}");
    };
    assert_eq!((*since, *attempts), (second(0), 1416 + 5));
    one_attack(&bench.see(&again(5)));
}

#[test]
fn carriers_are_not_banned_for_forgotten_phones() {
    let mut bench = Bench::new();
    let mut sources = std::collections::BTreeSet::new();
    for n in 0..3 * DAY / 300 {
        for network in 0..9 {
            let line = wrong(&format!("2001:db8:66:{network}::1"), n * 300, "204");
            for attack in attacks(&bench.see(&line)) {
                sources.insert(attack.source.to_string());
            }
        }
    }
    assert_eq!(sources.len(), 9);
    assert!(sources.iter().all(|source| source.ends_with("/64")), "{sources:?}");
}

proptest! {
    /// At any rhythm that is a phone's: nobody is banned on the first day, none of the bans is more than
    /// brief, each follows from more than 100 attempts a day, and a success ends them
    /// for a week.
    #[test]
    fn at_any_rhythm(pauses in proptest::collection::vec(60..4000_i64, 300..900), logs_in in 0..2000_usize) {
        let mut bench = Bench::new();
        let (mut at, mut attempts, mut logged_in) = (0, 0, None);
        for (n, pause) in pauses.iter().enumerate() {
            at += pause;
            attempts += 1;
            if n == logs_in {
                logged_in = Some(at - 1);
                bench.see(&success(GUEST, at - 1, "205"));
            }
            let found = bench.see(&wrong(GUEST, at, "204"));
            let lasts = at - pauses[0];
            // As the documentation says, and nothing else.
            let nobody = logged_in.is_none_or(|last| at - last > 7 * DAY);
            let expected = nobody && lasts >= DAY && (attempts - 1) * DAY > 100 * lasts;
            prop_assert_eq!(attacks(&found).len(), usize::from(expected), "attempt {} after {}", n, lasts);
            for attack in attacks(&found) {
                prop_assert_eq!(attack.weight, Weight::Brief);
                prop_assert_eq!(i64::from(attack.evidence.attempts), attempts);
            }
        }
    }
}
