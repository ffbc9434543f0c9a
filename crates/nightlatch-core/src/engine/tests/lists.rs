//! Feeds and countries through the engine: when they are fetched, what is believed, what follows.

mod fetched;
mod shut_out;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use nightlatch_parse::country::Builder;
use nightlatch_parse::ranges::RangeList;

use crate::AddrRange;
use crate::action::Action;
use crate::api::{Caller, Cause, Done, Refusal, RefusalKind, Reply, Request, Status};
use crate::config::Config;
use crate::engine::Engine;
use crate::event::{Event, Ticket};
use crate::features::State;
use crate::features::countries::{self, FetchedTable};
use crate::features::feeds::{self, Came, Failed, Feed, FeedName, FeedView, Fetched, Outcome};
use crate::features::{self, Job};
use crate::lists::{Refused, Version, Versions};
use crate::posture::{Mode, Posture, Protection};
use crate::service::ServiceName;
use crate::time::Time;

/// Where the administrator is today.
const HOTEL: &str = "203.0.113.7";
const HOUR: Duration = Duration::from_secs(3600);

/// An engine whose store and kernel do as told; fetches are noted.
struct Bench {
    engine: Engine,
    now: Time,
    store: Result<(), String>,
    /// Feeds that are to be fetched, each with the version that is known.
    fetches: Vec<(String, Version)>,
    readings: Vec<Versions>,
    replies: Vec<Reply>,
    projections: usize,
    commits: usize,
    caller: Caller,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Engine::new(State::default(), Config::default()))
    }

    /// A server whose SSH is open to strangers, and an administrator who is one.
    fn with_a_stranger_at_ssh() -> Bench {
        let mut config = Config::default();
        config.firewall.open.insert(ServiceName::known("ssh"));
        let protection = Protection::On { since: Time::default() };
        let posture = Posture { mode: Mode::Open, protection, ..Posture::default() };
        let state = State::with_posture(posture);
        let caller = Caller { origin: Some(HOTEL.parse().unwrap()), ..Caller::default() };
        Bench { caller, ..Bench::with(Engine::new(state, config)) }
    }

    fn with(engine: Engine) -> Bench {
        Bench {
            engine,
            now: Time::from_millis(1_800_000_000_000),
            store: Ok(()),
            fetches: Vec::new(),
            readings: Vec::new(),
            replies: Vec::new(),
            projections: 0,
            commits: 0,
            caller: Caller::default(),
        }
    }

    fn execute(&mut self, actions: Vec<Action>) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            for answer in self.answers(action) {
                actions.extend(self.engine.handle(answer, self.now));
            }
        }
    }

    fn answers(&mut self, action: Action) -> Vec<Event> {
        let done = Ok(());
        match action {
            Action::Commit { .. } => {
                self.commits += 1;
                return vec![Event::Stored(self.store.clone())];
            }
            Action::Apply(apply) => {
                self.projections += 1;
                return vec![Event::Applied { to: apply.to, result: done }];
            }
            Action::Load(load) => {
                self.projections += 1;
                let exchanged = Event::ListsExchanged { to: load.to, result: Ok(()) };
                return vec![Event::Applied { to: load.to, result: done }, exchanged];
            }
            Action::TakeDown { to } => return vec![Event::Applied { to, result: done }],
            Action::ExchangeLists { to, .. } => {
                self.projections += 1;
                return vec![Event::ListsExchanged { to, result: done }];
            }
            Action::ListFlows { .. } => return vec![Event::FlowsListed(done)],
            Action::Cut(_) => return vec![Event::FlowsCut(done)],
            Action::ReadSets(_) => return vec![Event::SetsRead(None)],
            Action::ReadHits => return vec![Event::Hits(Vec::new())],
            Action::ReadCounters => {
                let dropped = std::collections::BTreeMap::new();
                return vec![Event::Counters { dropped, survives_reboot: false }];
            }
            Action::Run(Job::Feeds(feeds::Job::Fetch(feed, version))) => {
                self.fetches.push((feed.name.to_string(), version));
            }
            Action::Run(Job::Countries(countries::Job::Read { known, .. })) => {
                self.readings.push(known);
            }
            Action::Reply(_, reply) => self.replies.push(reply),
            _ => {}
        }
        Vec::new()
    }

    fn feed(&mut self, event: Event) {
        let actions = self.engine.handle(event, self.now);
        self.execute(actions);
    }

    fn ask(&mut self, request: Request) -> Reply {
        let caller = self.caller.clone();
        self.feed(Event::Asked { ticket: Ticket(1), caller, request });
        self.replies.pop().unwrap()
    }

    /// As the loop does it; a deadline that is due and leads to nothing would make it spin.
    fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        for _ in 0..100 {
            if self.engine.next_deadline().is_none_or(|at| at > self.now) {
                return;
            }
            let actions = self.engine.handle_timeout(self.now);
            assert!(!actions.is_empty(), "due, but nothing to do: the loop would spin");
            self.execute(actions);
        }
        panic!("it never comes to rest");
    }

    fn fetched(&mut self, name: &str, result: Result<Fetched, &str>) {
        let result = result.map_err(|reason| Failed { reason: reason.to_owned(), wait: None });
        self.feed(fetched(name, result));
    }

    fn view(&mut self, name: &str) -> FeedView {
        self.views().into_iter().find(|view| view.feed.name.as_str() == name).unwrap()
    }

    fn views(&mut self) -> Vec<FeedView> {
        match self.said(Request::of(feeds::Request::List)) {
            features::Reply::Feeds(feeds::Reply::All(views)) => views,
            other => panic!("{other:?}"),
        }
    }

    /// The only thing that is answered.
    fn said(&mut self, request: Request) -> features::Reply {
        match self.ask(request) {
            Reply::Done(done) => done.said.into_iter().next().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn status(&mut self) -> Status {
        match self.ask(Request::Status) {
            Reply::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    fn add(&mut self, name: &str) {
        let stood = self.engine.state().posture().stands();
        let (name, mode) = (feed(name).name, self.engine.state().posture().mode);
        let twin = self.engine.state().feeds.all.keys().next().cloned();
        let added = feeds::Reply::Added { name: name.clone(), mode, twin };
        assert_eq!(self.ask(add(feed(name.as_str()))), Reply::Done(done(added, stood)));
    }

    fn refresh(&mut self, name: &str, force: bool) {
        let name: Option<FeedName> = Some(name.parse().unwrap());
        self.ask(Request::of(feeds::Request::Refresh { name }).forced(force));
        self.pass(Duration::ZERO);
    }
}

/// What was changed; where the firewall is not up, it waits for that.
fn done(said: impl Into<features::Reply>, stood: bool) -> Done {
    let said = vec![said.into()];
    Done { said, changed: true, waits_for_up: !stood, stood, findings: None }
}

/// The answer is no.
fn no(refusal: impl Into<features::Refusal>) -> Reply {
    let why = Cause::Feature(Box::new(refusal.into()));
    Reply::Refused(Refusal::new(RefusalKind::No, why))
}

fn add(feed: Feed) -> Request {
    Request::of(feeds::Request::Add(Box::new(feed)))
}

fn remove(name: &str) -> Request {
    Request::of(feeds::Request::Remove { name: name.parse().unwrap() })
}

fn fetched(name: &str, result: Result<Fetched, Failed>) -> Event {
    let name = name.parse().unwrap();
    Event::Feature(feeds::Event::Fetched { name, result }.into())
}

fn read(result: Result<Option<FetchedTable>, &str>) -> Event {
    Event::Feature(countries::Event::Read(result.map_err(ToOwned::to_owned)).into())
}

fn block_country(code: &str, force: bool) -> Request {
    let countries = [code.parse().unwrap()].into();
    Request::of(countries::Request::Block(countries)).forced(force)
}

fn refresh_countries(force: bool) -> Request {
    Request::of(countries::Request::Refresh).forced(force)
}

fn feed(name: &str) -> Feed {
    Feed {
        name: name.parse().unwrap(),
        source: "https://list.example/".to_owned(),
        format: "auto".to_owned(),
        headers: Vec::new(),
        key_file: None,
        every: HOUR,
        since: Time::default(),
        by: String::new(),
        origin: None,
    }
}

fn version(etag: &str) -> Version {
    Version { etag: Some(etag.to_owned()), last_modified: None }
}

/// So many single addresses.
#[expect(clippy::unnecessary_wraps, reason = "as a fetch answers")]
fn content(count: u128, etag: &str) -> Result<Fetched, &'static str> {
    let first = 0x0800_0000;
    let ranges = (0..count).map(|n| first + n * 2);
    let ranges = ranges.filter_map(|at| AddrRange::new(crate::Family::V4, at, at));
    let content: RangeList = ranges.collect();
    Ok(Fetched { content: Some(content), version: version(etag), ..Fetched::default() })
}

#[test]
fn the_table_of_countries_is_read_when_it_is_needed() {
    let mut bench = Bench::new();
    bench.pass(HOUR * 100);
    assert!(bench.readings.is_empty(), "no country is named");
    bench.ask(block_country("CN", false));
    bench.pass(Duration::ZERO);
    assert_eq!(bench.readings, [Versions::new()]);
    bench.feed(read(Err("no such file")));
    bench.pass(Duration::from_secs(599));
    assert_eq!(bench.readings.len(), 1);
    bench.pass(Duration::from_secs(1));
    let table = |count: u128, etag: &str| {
        let mut builder = Builder::new();
        for n in 0..count {
            let range = AddrRange::new(crate::Family::V4, n * 4, n * 4).unwrap();
            builder.add(range, "CN".parse().unwrap());
        }
        let versions = Versions::from([("/table".to_owned(), version(etag))]);
        FetchedTable { table: Arc::new(builder.build()), versions, ..FetchedTable::default() }
    };
    bench.feed(read(Ok(Some(table(5000, "a")))));
    assert_eq!(bench.countries().sizes[0].v4_addresses, 5000);
    // Another country is named: the source is looked at, and has nothing new.
    bench.ask(block_country("RU", false));
    bench.pass(Duration::ZERO);
    assert_eq!(bench.readings.last().unwrap()["/table"], version("a"));
    bench.feed(read(Ok(None)));
    assert!(!bench.countries().reading);
    // Doubtful, then forced.
    bench.ask(refresh_countries(false));
    bench.pass(Duration::ZERO);
    bench.feed(read(Ok(Some(table(10, "b")))));
    let list = bench.countries();
    assert!(list.failed && list.ranges == 5000, "{list:?}");
    bench.ask(refresh_countries(true));
    bench.pass(Duration::ZERO);
    assert_eq!(bench.readings.last(), Some(&Versions::new()));
    bench.feed(read(Ok(Some(table(10, "b")))));
    assert_eq!(bench.countries().ranges, 10);
}

/// Long lists of single addresses are in a hash table, which needs less than a tree.
#[test]
fn what_the_lists_need_in_the_kernel() {
    let mut bench = Bench::new();
    bench.add("bad");
    bench.pass(Duration::ZERO);
    let status = |bench: &mut Bench| {
        let status = bench.status();
        (status.listed, status.listed_bytes)
    };
    bench.fetched("bad", content(20_000, "a"));
    assert_eq!(status(&mut bench), (20_000, 0), "the firewall is off");
    let mut bench = Bench::with_a_stranger_at_ssh();
    bench.add("bad");
    bench.pass(Duration::ZERO);
    bench.fetched("bad", content(1000, "a"));
    assert_eq!(status(&mut bench), (1000, 160_000));
    bench.refresh("bad", true);
    bench.fetched("bad", content(20_000, "b"));
    assert_eq!(status(&mut bench), (20_000, 2_040_000));
}
