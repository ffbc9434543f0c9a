//! Requests, refusals and ends, through all stations: store, kernel, reply.

mod closing;
mod disk;
mod ends;
mod kernel;
mod lists;
mod model;
mod order;
mod peers;
mod requests;
mod up;

use std::collections::VecDeque;
use std::time::Duration;

use crate::AddrRange;
use crate::action::{Action, Flows, Level, Unlearn};
use crate::api::{Caller, NewAccount, NewBlock, Refusal, RefusalKind, Reply, Request};
use crate::audit::Record;
use crate::config::Rules;
use crate::engine::Engine;
use crate::event::{Event, Ticket};
use crate::ledger::{Change, Entry, Ledger, Mode, Protection, Site};
use crate::service::Grant;
use crate::signalling::Peer;
use crate::time::Time;
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
    cuts: Vec<Flows>,
    taught: Vec<(Peer, Duration)>,
    unlearned: Vec<Unlearn>,
    /// How often the PBX was asked.
    questions: u32,
    told: Vec<(Level, String)>,
    replies: Vec<Reply>,
    next_ticket: u64,
}

impl Desk {
    fn new(ledger: Ledger) -> Desk {
        Desk {
            engine: Engine::new(ledger, Rules::default()),
            now: START,
            caller: anna(),
            store: Ok(()),
            kernel: Ok(()),
            table: Kernel::default(),
            changes: Vec::new(),
            records: Vec::new(),
            projections: Vec::new(),
            cuts: Vec::new(),
            taught: Vec::new(),
            unlearned: Vec::new(),
            questions: 0,
            told: Vec::new(),
            replies: Vec::new(),
            next_ticket: 0,
        }
    }

    /// A desk whose firewall is on, at a server with a gateway.
    fn on() -> Desk {
        let guarded = vec![(range("198.51.100.254"), "the gateway".to_owned())];
        let mut desk = Desk::new(Ledger {
            protection: Protection::On { since: START },
            site: Site { guarded, ..Site::default() },
            ..Ledger::default()
        });
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
                let result = self.project(Project::Difference, |kernel| kernel.apply(*apply));
                return vec![Event::Applied { to, result }];
            }
            Action::Load(load) => {
                let to = load.to;
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
            Action::ReadPeers => return vec![Event::PeersUnreadable],
            Action::ReadCounters => {
                let dropped = std::collections::BTreeMap::new();
                return vec![Event::Counters { dropped, survives_reboot: false }];
            }
            Action::ReadHits => return vec![Event::Hits(Vec::new())],
            Action::Teach(peers) => self.taught.extend(peers),
            Action::Unlearn(unlearn) => self.unlearned.push(unlearn),
            Action::AskPbx(_) => self.questions += 1,
            Action::Reply(_, reply) => self.replies.push(reply),
            Action::ReadConfiguration(..) => panic!("no test here reads a configuration"),
            Action::Tell(level, message) => self.told.push((level, message)),
            Action::Keep(_) | Action::Forget(_) | Action::SavePeers(_) => {}
            Action::ExchangeLists { .. } | Action::Fetch(..) | Action::ReadCountries { .. } => {
                panic!("no test here has a list")
            }
        }
        Vec::new()
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

    /// The sentence of what was done.
    fn done(&mut self, request: Request) -> String {
        match self.ask(request) {
            Reply::Done { message } => message,
            other => panic!("{other:?}"),
        }
    }

    /// The sentence of what was refused; nothing may have moved.
    fn refused(&mut self, kind: RefusalKind, request: Request) -> String {
        let (ledger, records) = (self.engine.ledger().clone(), self.records.len());
        match self.ask(request) {
            Reply::Refused(Refusal { kind: found, message }) => {
                assert_eq!(found, kind, "{message}");
                assert_eq!(*self.engine.ledger(), ledger, "{message}");
                assert_eq!(self.records.len(), records, "{message}");
                message
            }
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

    /// The ledger as a restart would find it: what the store was given, and nothing else.
    fn stored(&self, before: &Ledger) -> Ledger {
        let mut ledger = before.clone();
        self.changes.iter().cloned().for_each(|change| drop(ledger.apply(change)));
        ledger
    }
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
        name: name.parse().unwrap(),
        entries: ranges.split(',').map(|text| Entry::Range(range(text))).collect(),
        services: Grant::parse(services).unwrap(),
        lasts,
        note: String::new(),
    }
}

fn allow(text: &str) -> Request {
    Request::Allow(account(text))
}

fn remove(name: &str) -> Request {
    Request::Remove { name: name.parse().unwrap(), force: false }
}

/// `203.0.113.7` or `203.0.113.7 for 60`, with ` force` at the end.
fn block(text: &str) -> Request {
    let (text, force) = text.strip_suffix(" force").map_or((text, false), |text| (text, true));
    let (text, lasts) = lasting(text);
    Request::Block(NewBlock { range: range(text), lasts, reason: "guesses".to_owned(), force })
}

fn unblock(text: &str) -> Request {
    Request::Unblock { range: range(text) }
}

fn mode(mode: Mode) -> Request {
    Request::Mode { mode, force: false }
}

fn lasting(text: &str) -> (&str, Option<Duration>) {
    match text.split_once(" for ") {
        Some((text, seconds)) => (text, Some(Duration::from_secs(seconds.parse().unwrap()))),
        None => (text, None),
    }
}
