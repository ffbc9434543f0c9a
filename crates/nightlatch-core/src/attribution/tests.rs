//! Single cases; the model has all orders of everything.

mod model;

use super::*;

/// The process of the first of the others.
const OTHERS: u32 = 1_000;

fn program(process: u32) -> Program {
    Program { name: "nft".to_owned(), process: Some(process) }
}

fn report(generation: u32, author: Author, touches: Touches) -> Report {
    let generation = Some(generation);
    Report { generation, author, touches, is_incomplete: false, has_lists: false }
}

fn machine() -> Attribution {
    Attribution::new(Count { generation: 10, own: 3 })
}

const SOON: Duration = Duration::from_millis(1);

/// A look that came first waits for the name, and not for ever.
#[test]
fn the_report_behind_a_look_names_the_program() {
    let count = Count { generation: 11, own: 3 };
    for is_reported in [true, false] {
        let mut machine = machine();
        let look = machine.look_due().unwrap();
        assert!(machine.needs_reading(&look, 11));
        assert_eq!(machine.looked(look, count, true, SOON), None);
        assert!(machine.is_doubtful());
        let deadline = machine.deadline(false).unwrap();
        assert_eq!(deadline, SOON + REPORT_TIMEOUT);
        assert!(machine.deadline(true).unwrap() < deadline);
        assert_eq!(machine.time_passed(false, deadline.saturating_sub(SOON)), []);
        let (mut actions, by) = match is_reported {
            true => {
                let by = program(OTHERS);
                let report = report(11, Author::Other(by.clone()), Touches::ListsOrRules);
                (machine.reported(report, deadline), Some(by))
            }
            false => (machine.time_passed(false, deadline), None),
        };
        let Some(Action::Look(look)) = actions.pop() else { panic!("no look follows") };
        assert_eq!(machine.looked(look, count, true, deadline), Some(Restore { by }));
        // Until it is restored, nothing follows from anything.
        let more = report(12, Author::Other(program(OTHERS)), Touches::ListsOrRules);
        assert_eq!(machine.reported(more, deadline), []);
        assert_eq!(machine.look_due(), None);
        assert_eq!(machine.deadline(false), None);
    }
}

/// What another program has undone itself is no reason to restore anything.
#[test]
fn a_good_look_ends_the_doubt() {
    let mut machine = machine();
    let count = Count { generation: 11, own: 3 };
    assert_eq!(machine.looked(machine.look_due().unwrap(), count, true, SOON), None);
    let count = Count { generation: 12, own: 3 };
    assert_eq!(machine.looked(machine.look_due().unwrap(), count, false, SOON), None);
    assert!(!machine.is_doubtful());
    assert_eq!((machine.known_up_to(), machine.deadline(false)), (12, None));
}

/// The kernel's count wraps around: of two generations, the later one is at most half of all ahead.
#[test]
fn lists_are_watched_beyond_half_of_all_generations() {
    let mut machine = machine();
    let other = |generation, touches| {
        let report = report(generation, Author::Other(program(OTHERS)), touches);
        Report { has_lists: true, ..report }
    };
    assert_eq!(machine.reported(other(0x7000_0000, Touches::Nothing), SOON), []);
    let actions = machine.reported(other(0xe000_0000, Touches::ListsOrRules), SOON);
    assert!(matches!(actions.as_slice(), [Action::Look(look)] if look.lists_changed));
}

/// The report of our own load comes while a foreign change is in the table already: we are not named.
#[test]
fn we_are_not_named_for_what_another_program_did() {
    let mut machine = machine();
    let count = Count { generation: 12, own: 4 };
    assert!(!machine.acknowledged(count));
    let ours = report(11, Author::OurProgram, Touches::ListsOrRules);
    let Some(Action::Look(look)) = machine.reported(ours, SOON).pop() else { panic!("no look") };
    assert_eq!(machine.looked(look, count, true, SOON), None);
    let theirs = report(12, Author::Other(program(OTHERS)), Touches::ListsOrRules);
    let Some(Action::Look(look)) = machine.reported(theirs, SOON).pop() else { panic!("no look") };
    let by = Some(program(OTHERS));
    assert_eq!(machine.looked(look, count, true, SOON), Some(Restore { by }));
}

/// One change was counted: the load. Otherwise every report of the span must have come, and show other tables.
#[test]
fn a_load_is_proven_by_the_count_or_by_all_reports() {
    let other = |touches| (Author::Other(program(OTHERS)), touches);
    let load = |generation| (generation, (Author::OurProgram, Touches::ListsOrRules));
    let again = || Some(Action::LoadAgain);
    let cases = [
        (vec![load(11)], None, true),
        (vec![load(10)], None, true),
        (vec![(11, other(Touches::Nothing)), load(12)], None, false),
        (vec![load(11), (12, other(Touches::Elements))], None, false),
        (vec![load(11), (12, other(Touches::ListsOrRules))], again(), false),
        (
            vec![load(11), (12, other(Touches::Nothing)), (13, other(Touches::ListsOrRules))],
            None,
            false,
        ),
        // One is missing.
        (vec![load(12)], again(), false),
        (vec![load(10), load(12)], again(), false),
        (vec![load(11), load(13)], again(), false),
    ];
    for (at, (reports, expected, is_unproven)) in cases.into_iter().enumerate() {
        let mut machine = machine();
        machine.loaded(10, 12, SOON);
        let mut action = None;
        for (generation, (author, touches)) in reports {
            let actions = machine.reported(report(generation, author, touches), SOON);
            action = actions.into_iter().find(|action| !matches!(action, Action::Look(_)));
        }
        assert_eq!((action, machine.is_unproven()), (expected, is_unproven), "case {at}");
    }
    let mut incomplete = machine();
    incomplete.loaded(10, 12, SOON);
    let lost = report(11, Author::OurProgram, Touches::Nothing);
    let lost = Report { is_incomplete: true, ..lost };
    assert_eq!(incomplete.reported(lost, SOON).first(), again().as_ref());
    let mut alone = machine();
    alone.loaded(10, 11, SOON);
    assert!(!alone.is_unproven());
}

/// Where no report comes, it is loaded again, five times at most.
#[test]
fn loading_again_ends() {
    let mut machine = machine();
    let mut now = SOON;
    for _ in 1..MAX_LOADS {
        machine.loaded(10, 12, now);
        assert_eq!(machine.deadline(true), Some(now + PROOF_TIMEOUT));
        now += PROOF_TIMEOUT;
        assert_eq!(machine.time_passed(false, now.saturating_sub(SOON)), []);
        assert_eq!(machine.time_passed(false, now), [Action::LoadAgain]);
    }
    machine.loaded(10, 12, now);
    assert_eq!(machine.time_passed(false, now + PROOF_TIMEOUT), [Action::GiveUp]);
}
