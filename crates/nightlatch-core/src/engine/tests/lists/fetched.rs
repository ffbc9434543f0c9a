//! Feeds: when they are fetched, what is believed, what is counted.

use super::*;

#[test]
fn a_feed_is_fetched_at_its_pace() {
    let mut bench = Bench::new();
    bench.add("bad");
    assert!(bench.view("bad").fetching, "it is next to be fetched");
    bench.pass(Duration::ZERO);
    assert_eq!(bench.fetches, [("bad".to_owned(), Version::default())]);
    // While it is under way nothing is due, and nothing spins.
    bench.pass(HOUR * 5);
    assert_eq!(bench.fetches.len(), 1);
    bench.fetched("bad", content(500, "a"));
    assert!(!bench.view("bad").fetching);
    assert_eq!(bench.view("bad").state.entries_v4, 500);
    bench.pass(Duration::from_secs(3599));
    assert_eq!(bench.fetches.len(), 1);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.fetches.last(), Some(&("bad".to_owned(), version("a"))));
    bench.fetched("bad", Ok(Fetched::default()));
    assert_eq!(bench.view("bad").state.result, Outcome::Is(Came::NothingNew));
    assert_eq!(bench.view("bad").state.entries_v4, 500);
}

#[test]
fn failures_are_tried_again_in_growing_pauses() {
    let mut bench = Bench::new();
    bench.add("bad");
    bench.pass(Duration::ZERO);
    for pause in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
        bench.fetched("bad", Err("no network"));
        let before = bench.fetches.len();
        bench.pass(Duration::from_secs(pause - 1));
        assert_eq!(bench.fetches.len(), before, "{pause}");
        bench.pass(Duration::from_secs(1));
        assert_eq!(bench.fetches.len(), before + 1, "{pause}");
    }
    assert_eq!(bench.view("bad").state.failures, 8);
    bench.fetched("bad", content(3, "a"));
    assert_eq!(bench.view("bad").state.failures, 0);
}

#[test]
fn a_server_that_asks_for_rest_gets_it() {
    let mut bench = Bench::new();
    bench.add("bad");
    bench.pass(Duration::ZERO);
    for (asked, given) in [(600, 600), (7, 60 * 2), (u64::MAX / 2, 86_400)] {
        let wait = Some(Duration::from_secs(asked));
        let result = Err(Failed { reason: "429".to_owned(), wait });
        bench.feed(fetched("bad", result));
        let before = bench.fetches.len();
        bench.pass(Duration::from_secs(given - 1));
        assert_eq!(bench.fetches.len(), before, "{asked}");
        bench.pass(Duration::from_secs(1));
        assert_eq!(bench.fetches.len(), before + 1, "{asked}");
    }
    bench.fetched("bad", content(3, "a"));
    bench.pass(HOUR);
    assert_eq!(bench.fetches.len(), 5);
}

#[test]
fn what_is_old_is_told() {
    let mut bench = Bench::new();
    bench.add("bad");
    bench.pass(Duration::ZERO);
    bench.fetched("bad", content(3, "a"));
    for hour in 1..=11 {
        bench.pass(HOUR);
        bench.fetched("bad", Err("no network"));
        assert_eq!(bench.view("bad").stale, hour > 10, "{hour}");
    }
    let troubles = bench.status().reports.into_iter().find_map(|report| match report {
        features::Reply::Feeds(feeds::Reply::Report { troubles, .. }) => Some(troubles),
        _ => None,
    });
    assert!(troubles.unwrap()[0].stale);
    assert_eq!(bench.view("bad").state.entries_v4, 3);
    bench.fetched("bad", Ok(Fetched::default()));
}

/// A full disk: that a list was looked at cannot be written down. It must not be fetched again
/// and again, and what it brought is in force.
#[test]
fn a_full_disk_makes_no_storm_of_fetches() {
    let mut bench = Bench::new();
    bench.add("bad");
    bench.store = Err("disk full".to_owned());
    bench.pass(Duration::ZERO);
    bench.fetched("bad", content(3, "a"));
    bench.pass(Duration::from_secs(600));
    assert_eq!(bench.fetches.len(), 1);
    assert_eq!(bench.view("bad").state.entries_v4, 3);
    bench.fetched("bad", Err("no network"));
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.fetches.len(), 1);
}

#[test]
fn doubtful_content_leaves_the_old_in_force_until_it_is_forced() {
    let mut bench = Bench::new();
    bench.add("bad");
    bench.pass(Duration::ZERO);
    bench.fetched("bad", content(500, "a"));
    bench.refresh("bad", false);
    bench.fetched("bad", content(10, "b"));
    let view = bench.view("bad");
    assert_eq!((view.state.entries_v4, view.state.failures), (500, 1));
    let shrank = Refused::Shrank { old: 500, new: 10 };
    assert_eq!(view.state.result, Outcome::Is(Came::Refused(shrank)));
    assert_eq!(view.state.version, version("a"));
    // Asked for with force while a fetch without it is under way: fetched once more, whole.
    bench.refresh("bad", false);
    bench.refresh("bad", true);
    let before = bench.fetches.len();
    bench.fetched("bad", content(10, "b"));
    assert_eq!(bench.view("bad").state.entries_v4, 500);
    bench.pass(Duration::ZERO);
    assert_eq!(bench.fetches.len(), before + 1);
    assert_eq!(bench.fetches.last(), Some(&("bad".to_owned(), Version::default())));
    bench.fetched("bad", content(10, "b"));
    assert_eq!(bench.view("bad").state.entries_v4, 10);
}

#[test]
fn what_comes_after_a_feed_was_removed_is_dropped() {
    let mut bench = Bench::new();
    bench.add("bad");
    bench.pass(Duration::ZERO);
    bench.ask(remove("bad"));
    bench.fetched("bad", content(10, "a"));
    assert_eq!(bench.views(), []);
    bench.pass(HOUR * 100);
    assert_eq!(bench.fetches.len(), 1);
    // Added anew under the same name while the old fetch is under way: what that brings is not its.
    bench.add("bad");
    bench.pass(Duration::ZERO);
    assert_eq!(bench.fetches.len(), 2);
    bench.ask(remove("bad"));
    bench.add("bad");
    bench.pass(Duration::ZERO);
    assert_eq!(bench.fetches.len(), 2);
    bench.fetched("bad", content(10, "old"));
    assert_eq!(bench.view("bad").state.entries_v4, 0);
    bench.pass(Duration::ZERO);
    assert_eq!(bench.fetches.len(), 3);
    bench.fetched("bad", content(4, "new"));
    assert_eq!(bench.view("bad").state.entries_v4, 4);
}

/// A mistyped address is corrected by adding the feed again; one that came is not lost that way.
#[test]
fn what_never_came_may_be_added_anew() {
    let mut bench = Bench::new();
    let corrected = Feed { source: "https://right.example/".to_owned(), ..feed("bad") };
    bench.add("bad");
    bench.pass(Duration::ZERO);
    let exists = |source: &str| {
        no(feeds::Refusal::Exists { name: "bad".parse().unwrap(), source: source.to_owned() })
    };
    let early = bench.ask(add(corrected.clone()));
    assert_eq!(early, exists("https://list.example/"), "it may still come");
    bench.fetched("bad", Err("not there"));
    // Looked for again when the correction arrives: what comes of that is no concern of the new.
    bench.refresh("bad", false);
    let (name, mode) = ("bad".parse().unwrap(), Mode::Allowlist);
    let added = feeds::Reply::Added { name, mode, twin: None };
    assert_eq!(bench.ask(add(corrected.clone())), Reply::Done(done(added, false)));
    bench.fetched("bad", content(7, "\"old\""));
    let view = bench.view("bad");
    assert_eq!((view.feed.source.as_str(), view.state.entries_v4), ("https://right.example/", 0));
    bench.pass(Duration::ZERO);
    bench.fetched("bad", content(1, "\"new\""));
    let came = Came::Entries { entries: 1, merged_from: None };
    assert_eq!(bench.view("bad").state.result, Outcome::Is(came));
    assert_eq!(bench.ask(add(corrected)), exists("https://right.example/"));
}

#[test]
fn hits_are_counted_to_every_feed_that_holds_the_address() {
    let mut bench = Bench::new();
    for name in ["one", "two"] {
        bench.add(name);
    }
    bench.pass(Duration::ZERO);
    bench.fetched("one", content(10, "a"));
    bench.fetched("two", content(5, "a"));
    let hit = |at: &str, packets| (at.parse().unwrap(), packets);
    bench.feed(Event::Hits(vec![hit("8.0.0.0", 7), hit("8.0.0.18", 2), hit("9.9.9.9", 5)]));
    let stopped = |bench: &mut Bench, name| {
        let state = bench.view(name).state;
        (state.stopped, state.stopped_alone)
    };
    assert_eq!((stopped(&mut bench, "one"), stopped(&mut bench, "two")), ((9, 2), (7, 0)));
    // Written down now and then, and with the next fetch; never twice.
    let before = bench.commits;
    bench.feed(Event::Hits(vec![hit("8.0.0.18", 1)]));
    bench.pass(Duration::from_secs(599));
    assert_eq!(bench.commits, before);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.commits, before + 1);
    assert_eq!(bench.engine.state().feeds.all[&"one".parse().unwrap()].state.stopped, 10);
    bench.feed(Event::Hits(vec![hit("8.0.0.18", 1)]));
    bench.refresh("one", false);
    bench.fetched("one", Ok(Fetched::default()));
    assert_eq!((stopped(&mut bench, "one"), stopped(&mut bench, "two")), ((11, 4), (7, 0)));
}

/// What a removed feed stopped is counted while its removal is being written down: the row of the
/// count must not come behind it.
#[test]
fn a_removed_feed_does_not_come_back_with_its_counts() {
    let mut bench = Bench::new();
    bench.add("one");
    bench.pass(Duration::ZERO);
    bench.fetched("one", content(10, "a"));
    let hit = || Event::Hits(vec![("8.0.0.0".parse().unwrap(), 7)]);
    bench.feed(hit());
    bench.pass(Duration::from_secs(700));
    let (caller, request) = (bench.caller.clone(), remove("one"));
    let asked = Event::Asked { ticket: Ticket(9), caller, request };
    let actions = bench.engine.handle(asked, bench.now);
    assert!(matches!(actions.as_slice(), [Action::Commit { .. }]), "{actions:?}");
    assert!(bench.engine.handle(hit(), bench.now).is_empty());
    for action in bench.engine.handle(Event::Stored(Ok(())), bench.now) {
        if let Action::Commit { changes, .. } = action {
            assert!(changes.is_empty(), "{changes:?}");
        }
    }
    assert!(bench.engine.state().feeds.all.is_empty());
}
