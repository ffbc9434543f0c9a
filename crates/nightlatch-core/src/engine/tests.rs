//! Requests, refusals and ends, through all stations: store, kernel, reply.

mod bans;
mod changes;
mod closing;
mod disk;
mod ends;
mod exempt;
mod hostile;
mod hours;
mod kernel;
mod knock;
mod learned;
mod lease_model;
mod leases;
mod lists;
mod model;
mod names;
mod order;
mod peers;
mod probe;
mod providers;
mod requests;
mod spa;
mod up;
mod users;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::AddrRange;
use crate::action::{Action, Deny, Flows, Level, Told, Unlearn};
use crate::api::{Ask, Caller, Cause, Done, LockOut, RefusalKind, Reply, Request, Status, Why};
use crate::audit::Record;
use crate::config::Config;
use crate::engine::Engine;
use crate::event::{Event, Ticket};
use crate::features::accounts::{self, Account, Entry, NewAccount};
use crate::features::blocks::{self, Block, NewBlock};
use crate::features::{self, Change, Job, State, firewall};
use crate::learned::{Filled, Key, Lasting, SetSpec};
use crate::pbx::PbxPeers;
use crate::posture::{Mode, Posture, Protection, Site};
use crate::probe::Probe;
use crate::service::{Grant, ServiceName};
use crate::signalling::Peer;
use crate::time::Time;
use crate::trouble::Trouble;
use kernel::Kernel;

/// 2026-11-20 09:17:00 UTC.
const START: Time = Time::from_millis(1_795_166_220_000);

/// How the kernel's table was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Project {
    /// By a difference.
    Difference,
    /// As a whole, or taken down.
    Whole,
}

/// The kernel's sets contain these peers.
fn read(peers: impl IntoIterator<Item = (Peer, Time)>) -> Event {
    let elements = peers.into_iter().map(|(peer, until)| peer.until(until));
    Event::SetsRead(Some(elements.collect()))
}

/// The engine with a store and a kernel that answer in turn, and remember.
struct Desk {
    engine: Engine,
    now: Time,
    caller: Caller,
    /// What the store and the kernel answer from now on.
    store: Result<(), String>,
    kernel: Result<(), String>,
    table: Kernel,
    /// What they were given.
    changes: Vec<Change>,
    records: Vec<Record>,
    projections: Vec<Project>,
    /// How often chains and rules were changed too, without a load of the whole table.
    structures: u32,
    cuts: Vec<Flows>,
    /// What was added to the kernel's sets, by loads too.
    taught: Vec<Lasting>,
    unlearned: Vec<Unlearn>,
    /// The elements of sets that follow from records, each with its end, and how often they were changed.
    denied: BTreeMap<(&'static SetSpec, Key), Time>,
    denials: u32,
    /// How often the PBX was asked.
    questions: u32,
    told: Vec<Told>,
    /// What was to be done in the background.
    jobs: Vec<Job>,
    replies: Vec<Reply>,
    next_ticket: u64,
}

impl Desk {
    fn new(state: State) -> Desk {
        Desk {
            engine: Engine::new(state, Config::default()),
            now: START,
            caller: anna(),
            store: Ok(()),
            kernel: Ok(()),
            table: Kernel::default(),
            changes: Vec::new(),
            records: Vec::new(),
            projections: Vec::new(),
            structures: 0,
            cuts: Vec::new(),
            taught: Vec::new(),
            unlearned: Vec::new(),
            denied: BTreeMap::new(),
            denials: 0,
            questions: 0,
            told: Vec::new(),
            jobs: Vec::new(),
            replies: Vec::new(),
            next_ticket: 0,
        }
    }

    /// A desk whose firewall is on, at a server with a gateway.
    fn on() -> Desk {
        let guarded = vec![(range("198.51.100.254"), "the gateway".to_owned())];
        let mut desk = Desk::new(State::with_posture(Posture {
            protection: Protection::On { since: START },
            site: Site { guarded, ..Site::default() },
            ..Posture::default()
        }));
        let load = desk.engine.load_whole(START);
        desk.execute(vec![load]);
        desk.projections.clear();
        desk
    }

    /// Does as the loop does: every action, one after the other, and what follows from its answer
    /// after those.
    fn execute(&mut self, actions: Vec<Action>) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            for answer in self.answers(action) {
                actions.extend(self.engine.handle(answer, self.now));
            }
        }
    }

    /// Does what an action asks for, and returns the answers to it.
    fn answers(&mut self, action: Action) -> Vec<Event> {
        match action {
            Action::Commit { changes, records } => {
                if self.store.is_ok() {
                    self.changes.extend(changes);
                    self.records.extend(records);
                }
                return vec![Event::Stored(self.store.clone())];
            }
            Action::Apply(apply) => {
                let to = apply.to;
                self.structures += u32::from(apply.structure.is_some());
                let result = self.project(Project::Difference, |kernel| kernel.apply(*apply));
                return vec![Event::Applied { to, result }];
            }
            Action::Deny(deny) => {
                let to = deny.to;
                let result = self.kernel.clone();
                if result.is_ok() {
                    self.deny(&deny);
                }
                return vec![Event::Denied { to, result }];
            }
            Action::Load(load) => {
                let to = load.to;
                if self.kernel.is_ok() {
                    self.denied.clear();
                    self.add_denied(&load.learned);
                }
                self.taught.extend(&load.learned);
                let result = self.project(Project::Whole, |kernel| {
                    kernel.load(*load);
                    Ok(())
                });
                let exchanged = Event::ListsExchanged { to, result: result.clone() };
                return vec![Event::Applied { to, result }, exchanged];
            }
            Action::TakeDown { to } => {
                let result = self.project(Project::Whole, |kernel| {
                    kernel.take_down();
                    Ok(())
                });
                return vec![Event::Applied { to, result }];
            }
            Action::ListFlows { of, .. } => {
                self.cuts.extend(of);
                return vec![Event::FlowsListed(Ok(()))];
            }
            Action::Cut(_) => return vec![Event::FlowsCut(Ok(()))],
            Action::ReadSets(_) => return vec![Event::SetsRead(None)],
            Action::ReadCounters => {
                let dropped = std::collections::BTreeMap::new();
                return vec![Event::Counters { dropped, survives_reboot: false }];
            }
            Action::ReadHits => return vec![Event::Hits(Vec::new())],
            Action::Teach(elements) => self.taught.extend(elements),
            Action::Unlearn(unlearn) => self.unlearned.push(unlearn),
            Action::Run(Job::Peers(_)) => self.questions += 1,
            Action::Reply(_, reply) => self.replies.push(reply),
            Action::ReadConfiguration(..) => panic!("no test here reads a configuration"),
            Action::Tell(told) => self.told.push(told),
            Action::Run(job) => self.jobs.push(job),
            Action::SaveLearned(_) => {}
            Action::ExchangeLists { .. } => panic!("no test here has a list"),
        }
        Vec::new()
    }

    fn deny(&mut self, deny: &Deny) {
        self.denials += 1;
        self.denied.retain(|place, _| !deny.stale.contains(place));
        self.add_denied(&deny.elements);
    }

    /// As the kernel does it: what is there already stays as it is.
    fn add_denied(&mut self, elements: &[Lasting]) {
        for element in elements.iter().filter(|it| it.set.filled == Filled::FromRecords) {
            let until = element.until(self.now).until;
            self.denied.entry((element.set, element.key)).or_insert(until);
        }
    }

    fn project(
        &mut self,
        how: Project,
        execute: impl FnOnce(&mut Kernel) -> Result<(), String>,
    ) -> Result<(), String> {
        self.projections.push(how);
        if self.kernel.is_err() {
            self.table.is_behind = true;
            return self.kernel.clone();
        }
        execute(&mut self.table)
    }

    fn feed(&mut self, event: Event) {
        let actions = self.engine.handle(event, self.now);
        self.execute(actions);
    }

    fn ask(&mut self, request: Request) -> Reply {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.feed(Event::Asked { ticket, caller: self.caller.clone(), request });
        self.replies.pop().expect("every request is answered")
    }

    /// What was done.
    fn done(&mut self, request: Request) -> Done {
        match self.ask(request) {
            Reply::Done(done) => done,
            other => panic!("{other:?}"),
        }
    }

    /// Why something was refused; nothing may have moved.
    fn refused(&mut self, kind: RefusalKind, request: Request) -> Cause {
        let (state, records) = (self.engine.state().clone(), self.records.len());
        match self.ask(request) {
            Reply::Refused(refusal) => {
                assert_eq!(refusal.kind, kind, "{refusal:?}");
                assert_eq!(*self.engine.state(), state, "{refusal:?}");
                assert_eq!(self.records.len(), records, "{refusal:?}");
                refusal.why
            }
            other => panic!("{other:?}"),
        }
    }

    /// How things stand.
    fn status(&mut self) -> Status {
        match self.ask(Request::Status) {
            Reply::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    /// What happens to packets of an address.
    fn why(&mut self, address: &str, to: Option<&str>) -> Why {
        let to = to.map(|to| to.parse().unwrap());
        match self.ask(Request::Why { address: address.parse().unwrap(), to }) {
            Reply::Why(why) => *why,
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass and does what comes due.
    fn wait(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
        while self.engine.next_deadline().is_some_and(|at| at <= self.now) {
            let actions = self.engine.handle_timeout(self.now);
            if actions.is_empty() {
                break;
            }
            self.execute(actions);
        }
    }

    /// What the audit log says, one line a record.
    fn log(&self) -> Vec<String> {
        let line = |record: &Record| {
            format!("{}: {} {}", record.caller.user, record.action, record.subject)
        };
        self.records.iter().map(line).collect()
    }

    /// The records as a restart would find them: what the store was given, and nothing else.
    fn stored(&self, before: &State) -> State {
        let mut state = before.clone();
        self.changes.iter().cloned().for_each(|change| drop(state.apply(change)));
        state
    }
}

/// What `up` asks.
#[derive(Clone, Default)]
struct Up {
    mode: Option<Mode>,
    admin: Option<NewAccount>,
    accounts: Vec<NewAccount>,
    site: Site,
    trial: Option<Duration>,
    pbx: PbxPeers,
    dry_run: bool,
    probe: Option<Probe>,
}

fn put_up(up: Up) -> Request {
    let Up { mode, admin, accounts, site, trial, pbx, dry_run, probe } = up;
    let admin = admin.map(accounts::Request::Admin);
    let accounts = admin.into_iter().chain(accounts.into_iter().map(accounts::Request::Ensure));
    let mut requests: Vec<features::Request> = accounts.map(Into::into).collect();
    requests.push(firewall::Request::Up(firewall::Up { mode, site, trial, pbx }).into());
    if dry_run {
        requests.push(accounts::Request::List.into());
    }
    Request::Do(Ask { requests, dry_run, probe: probe.map(Box::new), ..Ask::default() })
}

fn confirm() -> Request {
    Request::of(firewall::Request::Confirm)
}

fn rollback() -> Request {
    Request::of(firewall::Request::Rollback)
}

fn down() -> Request {
    Request::of(firewall::Request::Down)
}

fn anna() -> Caller {
    Caller { uid: 0, user: "anna".to_owned(), origin: None }
}

/// Anna over SSH.
fn anna_from(origin: &str) -> Caller {
    Caller { origin: Some(origin.parse().unwrap()), ..anna() }
}

fn range(text: &str) -> AddrRange {
    text.parse().unwrap()
}

/// `office 203.0.113.7,2001:db8::7 sip,web`; an end in seconds behind `for`.
fn account(text: &str) -> NewAccount {
    let (text, lasts) = lasting(text);
    let words: Vec<&str> = text.split(' ').collect();
    let [name, ranges, services] = words.as_slice() else { panic!("{text}") };
    NewAccount {
        hours: None,
        name: name.parse().unwrap(),
        entries: ranges.split(',').map(|text| Entry::Range(range(text))).collect(),
        services: Grant::parse(services).unwrap(),
        lasts,
        until: None,
        note: String::new(),
        hosts: accounts::HostOptions::default(),
    }
}

/// What was changed while the firewall is up.
fn changed(said: impl IntoIterator<Item = features::Reply>) -> Done {
    let said = said.into_iter().collect();
    Done { said, changed: true, waits_for_up: false, stood: true, findings: None }
}

/// What is said while the firewall is up, where nothing was changed.
fn unchanged(said: impl IntoIterator<Item = features::Reply>) -> Done {
    Done { changed: false, ..changed(said) }
}

/// What a feature refuses.
fn because(refusal: impl Into<features::Refusal>) -> Cause {
    Cause::Feature(Box::new(refusal.into()))
}

/// A change would end the caller's own session.
fn locked_out(origin: &str) -> Cause {
    Cause::LockedOut { origin: origin.parse().unwrap(), by: LockOut::Change }
}

/// Somebody is told what Anna has done.
fn told_done(done: Done) -> Told {
    Told::Done(anna(), done)
}

fn notice(notice: impl Into<features::Notice>) -> Told {
    Told::Notice(notice.into())
}

/// The account that Anna made at the beginning.
fn made(text: &str) -> Account {
    let NewAccount { hours, name, entries, services, lasts, note, .. } = account(text);
    let until = lasts.map(|span| START.after(span));
    let (since, by) = (START, "anna".to_owned());
    Account { hours, name, entries, services, until, note, allow_private: false, since, by }
}

/// An account is open that Anna made at the beginning.
fn opened(text: &str) -> features::Reply {
    accounts::Reply::Opened(made(text)).into()
}

/// An account is removed that Anna made at the beginning.
fn removed(text: &str) -> features::Reply {
    accounts::Reply::Removed(made(text)).into()
}

/// A range is blocked, by Anna and from the beginning.
fn blocked(text: &str) -> features::Reply {
    let (text, lasts) = lasting(text);
    let until = lasts.map(|span| START.after(span));
    let (reason, by) = ("guesses".to_owned(), "anna".to_owned());
    blocks::Reply::Blocked(Block { range: range(text), until, reason, since: START, by }).into()
}

fn unblocked(text: &str) -> features::Reply {
    blocks::Reply::Unblocked { range: range(text) }.into()
}

/// The mode is set; these services are open in mode open.
fn mode_set(mode: Mode, open: &[&str]) -> features::Reply {
    let open = open.iter().map(|name| name.parse().unwrap()).collect();
    firewall::Reply::ModeSet { mode, open }.into()
}

fn allow(text: &str) -> Request {
    Request::of(accounts::Request::Allow(account(text)))
}

fn remove(name: &str) -> Request {
    Request::of(accounts::Request::Remove { name: name.parse().unwrap() })
}

/// `203.0.113.7` or `203.0.113.7 for 60`, with ` force` at the end.
fn block(text: &str) -> Request {
    let (text, force) = text.strip_suffix(" force").map_or((text, false), |text| (text, true));
    let (text, lasts) = lasting(text);
    let new = NewBlock { range: range(text), lasts, reason: "guesses".to_owned() };
    Request::of(blocks::Request::Set(new)).forced(force)
}

fn unblock(text: &str) -> Request {
    Request::of(blocks::Request::Remove { range: range(text) })
}

fn mode(mode: Mode) -> Request {
    Request::of(firewall::Request::Mode { mode })
}

fn lasting(text: &str) -> (&str, Option<Duration>) {
    match text.split_once(" for ") {
        Some((text, seconds)) => (text, Some(Duration::from_secs(seconds.parse().unwrap()))),
        None => (text, None),
    }
}
