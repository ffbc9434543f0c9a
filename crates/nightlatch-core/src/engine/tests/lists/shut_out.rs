//! Countries and feeds never shut out the person who asked for them.

use nightlatch_parse::country::CountryCode;

use super::*;
use crate::api::LockOut;
use crate::features::countries::{CountryRules, Doubt, Outcome, Shown, TakenBack};
use crate::features::firewall;

fn code(text: &str) -> CountryCode {
    text.parse().unwrap()
}

/// The rules are set.
fn set(blocked: &[&str], only: &[&str], has_table: bool) -> Reply {
    let [blocked, only] =
        [blocked, only].map(|codes| codes.iter().map(|text| code(text)).collect());
    let rules = CountryRules { blocked, only };
    let set = countries::Reply::Set { rules, has_table, mode: Mode::Open };
    Reply::Done(done(set, true))
}

/// Germany with the hotel and China, or less of it.
fn two_countries(tells_of: Option<&[&str]>) -> FetchedTable {
    let mut builder = Builder::new();
    for (range, country) in [("203.0.113.0/24", "DE"), ("192.0.2.0/24", "CN")] {
        if tells_of.is_none_or(|codes| codes.contains(&country)) {
            builder.add(range.parse().unwrap(), code(country));
        }
    }
    let tells_of = tells_of.map(|codes| codes.iter().map(|text| code(text)).collect());
    let versions = Versions::from([(format!("{tells_of:?}"), version("a"))]);
    FetchedTable { table: Arc::new(builder.build()), tells_of, versions, ..FetchedTable::default() }
}

impl Bench {
    pub(super) fn countries(&mut self) -> Shown {
        match self.said(Request::of(countries::Request::List)) {
            features::Reply::Countries(countries::Reply::All(shown)) => *shown,
            other => panic!("{other:?}"),
        }
    }

    fn block(&mut self, country: &str, force: bool) -> Reply {
        let reply = self.ask(block_country(country, force));
        self.pass(Duration::ZERO);
        reply
    }

    fn allow(&mut self, country: &str, force: bool) -> Reply {
        let only = [code(country)].into();
        let reply = self.ask(Request::of(countries::Request::Allow(only)).forced(force));
        self.pass(Duration::ZERO);
        reply
    }

    fn read(&mut self, table: FetchedTable) {
        self.feed(read(Ok(Some(table))));
        self.pass(Duration::ZERO);
    }

    /// Whether the administrator could come in again.
    fn comes_in(&self) -> bool {
        crate::features::view::reaches_ssh(&self.engine.world(self.now), HOTEL.parse().unwrap())
    }
}

/// When the command is given nobody knows yet to which country the caller's address belongs.
#[test]
fn rules_that_shut_their_author_out_are_taken_back_when_the_table_comes() {
    for (block, force) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut bench = Bench::with_a_stranger_at_ssh();
        let reply = if block { bench.block("DE", force) } else { bench.allow("CN", force) };
        let (blocked, only) = if block { (&["DE"][..], &[][..]) } else { (&[][..], &["CN"][..]) };
        assert_eq!(reply, set(blocked, only, false));
        bench.read(two_countries(None));
        let countries = bench.countries();
        assert_eq!(bench.comes_in(), !force);
        assert_eq!(countries.rules.is_empty(), !force);
        assert_eq!(countries.taken_back.is_some(), !force, "{countries:?}");
        if force {
            continue;
        }
        let origin = HOTEL.parse().unwrap();
        assert_eq!(countries.taken_back, Some(TakenBack::ShutsOut { origin }));
        // With the table at hand the answer comes at once.
        bench.block("CN", false);
        bench.read(two_countries(None));
        assert_eq!(bench.countries().taken_back, None);
        let reply = if block { bench.block("DE", false) } else { bench.allow("US", false) };
        let why = Cause::LockedOut { origin, by: LockOut::List };
        assert_eq!(reply, Reply::Refused(Refusal::new(RefusalKind::No, why)));
        assert_eq!(bench.countries().rules.blocked, [code("CN")].into());
    }
}

/// The daemon is killed, or the machine boots, before the table is there.
#[test]
fn who_waits_for_the_table_is_not_forgotten_in_a_restart() {
    let mut bench = Bench::with_a_stranger_at_ssh();
    bench.block("DE", false);
    bench.engine = Engine::new(bench.engine.state().clone(), bench.engine.config.clone());
    bench.pass(Duration::ZERO);
    bench.read(two_countries(None));
    assert!(bench.comes_in());
    assert!(bench.countries().rules.is_empty());
    assert_eq!(bench.engine.state().countries.asker, None);
    // Nobody waits any more once it is there.
    bench.block("CN", false);
    assert!(bench.engine.state().countries.asker.is_some());
    bench.read(two_countries(None));
    assert_eq!(bench.engine.state().countries.asker, None);
    bench.ask(block_country("US", false));
    bench.pass(Duration::ZERO);
    bench.feed(read(Ok(None)));
    assert_eq!(bench.engine.state().countries.asker, None);
}

/// A source with a file for each country knows nothing yet of one that is named only now.
#[test]
fn whom_the_table_does_not_tell_of_yet_is_not_shut_out_with_the_world() {
    let mut bench = Bench::with_a_stranger_at_ssh();
    bench.block("CN", false);
    bench.read(two_countries(Some(&["CN"])));
    assert_eq!(bench.allow("DE", false), set(&["CN"], &["DE"], true));
    assert!(bench.comes_in(), "before the new table");
    bench.feed(read(Err("no network")));
    assert!(bench.comes_in(), "without the new table");
    // As long as nothing is known of it, what was in force stays.
    let why = TakenBack::NotKnown(Box::new(Outcome::Failed("no network".to_owned())));
    assert_eq!(bench.countries().taken_back, Some(why));
    assert!(bench.countries().rules.only.is_empty());
    bench.pass(Duration::ZERO);
    bench.feed(read(Ok(None)));
    bench.allow("DE", false);
    bench.read(two_countries(Some(&["CN", "DE"])));
    assert!(bench.comes_in());
    assert_eq!(bench.countries().rules.only, [code("DE")].into());
    // And one that would shut the caller out goes, the others stay.
    bench.caller.origin = Some(HOTEL.parse().unwrap());
    bench.ask(Request::of(countries::Request::Allow(std::collections::BTreeSet::new())));
    bench.pass(Duration::ZERO);
    bench.read(two_countries(Some(&["CN"])));
    bench.block("DE", false);
    bench.read(two_countries(Some(&["CN", "DE"])));
    assert_eq!(bench.countries().rules.blocked, [code("CN")].into());
    assert!(bench.comes_in());
    let again = bench.readings.len();
    bench.feed(read(Ok(None)));
    assert!(bench.countries().taken_back.is_some(), "told until the next command");
    assert_eq!(bench.readings.len(), again);
}

/// Another table, asked for by somebody, must not shut that person out either.
#[test]
fn a_table_that_shuts_out_who_asked_for_it_is_left_aside() {
    let mut bench = Bench::with_a_stranger_at_ssh();
    bench.block("CN", false);
    bench.read(two_countries(None));
    let moved = || {
        let mut builder = Builder::new();
        builder.add("203.0.113.0/24".parse().unwrap(), code("CN"));
        FetchedTable { table: Arc::new(builder.build()), ..FetchedTable::default() }
    };
    bench.ask(refresh_countries(false));
    bench.pass(Duration::ZERO);
    bench.read(moved());
    assert!(bench.comes_in() && bench.countries().failed);
    // Tried again in the background, it still does not.
    bench.pass(Duration::from_secs(600));
    bench.read(moved());
    assert!(bench.comes_in());
    bench.ask(refresh_countries(true));
    bench.pass(Duration::ZERO);
    bench.read(moved());
    assert!(!bench.comes_in());
}

/// A country that matters cannot lose or get most of its addresses overnight.
#[test]
fn a_table_in_which_a_country_is_another_is_doubted() {
    let table = |most: u128| {
        let mut builder = Builder::new();
        for n in 0..2000 {
            let range = AddrRange::new(crate::Family::V4, n * 4, n * 4).unwrap();
            builder.add(range, code("FR"));
        }
        for (first, size, country) in [(1 << 28, most, "DE"), (1 << 30, 1 << 24, "CN")] {
            let range = AddrRange::new(crate::Family::V4, first, first + size - 1).unwrap();
            builder.add(range, code(country));
        }
        FetchedTable { table: Arc::new(builder.build()), ..FetchedTable::default() }
    };
    let mut bench = Bench::new();
    bench.block("DE", false);
    bench.read(table(1 << 24));
    for (most, believed) in [(1 << 25, true), (1 << 27, false), (1 << 20, false), (1 << 24, true)] {
        bench.ask(refresh_countries(false));
        bench.pass(Duration::ZERO);
        bench.read(table(most));
        let countries = bench.countries();
        assert_eq!(countries.failed, !believed, "{most}: {countries:?}");
        let now = most.try_into().unwrap();
        let expected = match believed {
            true => Outcome::Ranges { ranges: 2002, notes: Vec::new() },
            false => Outcome::Doubted(Doubt::Country { country: code("DE"), before: 1 << 25, now }),
        };
        assert_eq!(countries.result, expected);
        assert_eq!(u128::from(countries.sizes[0].v4_addresses) == most, believed);
    }
    bench.ask(refresh_countries(true));
    bench.pass(Duration::ZERO);
    bench.read(table(7));
    assert_eq!(bench.countries().sizes[0].v4_addresses, 7);
}

#[test]
fn an_old_table_is_told() {
    let mut bench = Bench::new();
    bench.block("CN", false);
    bench.read(two_countries(None));
    // It is looked at once a day, in the background.
    bench.pass(HOUR * 24);
    assert_eq!(bench.readings.len(), 2);
    for day in 1..=12 {
        assert_eq!(bench.countries().stale, day > 10, "{day}");
        bench.feed(read(Err("no network")));
        bench.pass(HOUR * 24);
    }
    let trouble = bench.status().reports.into_iter().find_map(|report| match report {
        features::Reply::Countries(countries::Reply::Report { trouble, .. }) => trouble,
        _ => None,
    });
    assert!(trouble.unwrap().stale);
    bench.feed(read(Ok(None)));
    assert!(!bench.countries().stale);
}

fn spared(address: &str) -> feeds::Note {
    feeds::Note::Is(feeds::Noted::Spared { origin: address.parse().unwrap() })
}

#[test]
fn a_feed_spares_who_added_or_fetched_it() {
    let names = |etag: &str| {
        let content: RangeList =
            ["203.0.113.0/24", "192.0.2.1"].iter().map(|range| range.parse().unwrap()).collect();
        Ok(Fetched { content: Some(content), version: version(etag), ..Fetched::default() })
    };
    let mut bench = Bench::with_a_stranger_at_ssh();
    bench.add("bad");
    bench.pass(Duration::ZERO);
    bench.fetched("bad", names("a"));
    assert!(bench.comes_in());
    let view = bench.view("bad");
    assert_eq!(view.state.notes, [spared(HOTEL)]);
    // In the background too.
    bench.pass(HOUR);
    bench.fetched("bad", names("b"));
    assert!(bench.comes_in());
    // Somebody else asks for it: now that address is spared.
    bench.caller.origin = Some("203.0.113.9".parse().unwrap());
    bench.refresh("bad", false);
    bench.fetched("bad", names("c"));
    assert!(!bench.comes_in());
    assert_eq!(bench.view("bad").state.notes, [spared("203.0.113.9")]);
    // Who has an account needs no sparing, nor does who cannot come in anyway.
    let mut bench = Bench::with_a_stranger_at_ssh();
    let mode = Request::of(firewall::Request::Mode { mode: Mode::Allowlist }).forced(true);
    bench.ask(mode);
    bench.add("bad");
    bench.pass(Duration::ZERO);
    bench.fetched("bad", names("a"));
    assert_eq!(bench.view("bad").state.notes, []);
}
