//! Many changes at once, answered in any order, with a disk and a kernel that refuse and a program
//! that flushes the table.
//!
//! Held after every step: nothing is sent that opens more than the disk says; whoever asks gets one
//! answer; "done" comes only when the disk and the kernel have it; "the kernel does not have it yet"
//! only where the kernel refused. In the end all sides are equal, and whoever lost an account by its
//! end is denied.

use crate::features::{Put, State, exemptions};
use crate::posture::Posture;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::action::Revision;
use crate::api::Cause;
use crate::policy::Answer;
use crate::ruleset::Table;

const ADDRESSES: [&str; 6] =
    ["203.0.113.0", "203.0.113.7", "203.0.113.8", "203.0.113.200", "198.51.100.7", "2001:db8::7"];
const RANGES: [&str; 7] = [
    "203.0.113.7",
    "203.0.113.8",
    "203.0.113.0/28",
    "203.0.113.0/24",
    "198.51.100.0/24",
    "2001:db8::/64",
    "2001:db8::7",
];
const NAMES: [&str; 3] = ["a", "b", "c"];
const GRANTS: [&str; 3] = ["all", "sip", "ssh,web"];

#[derive(Clone, Debug)]
enum Step {
    Allow {
        name: usize,
        ranges: Vec<usize>,
        grant: usize,
        lasts: Option<u64>,
    },
    Remove(usize),
    /// An account gets an entry, or loses it.
    Entry {
        name: usize,
        range: usize,
        comes: bool,
    },
    /// An account gets other services, an end, another name.
    Set {
        name: usize,
        grant: Option<usize>,
        lasts: Option<u64>,
        rename: Option<usize>,
    },
    Exempt {
        name: usize,
        range: usize,
    },
    Unexempt(usize),
    Block {
        range: usize,
        lasts: Option<u64>,
    },
    Unblock(usize),
    Mode(bool),
    /// The store answers, well or not.
    Store(bool),
    /// The kernel does the next thing that was sent, or refuses it.
    Kernel(bool),
    Wait(u64),
    Flush,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (name, range) = (0..NAMES.len(), 0..RANGES.len());
    let lasts = || proptest::option::of(1u64..30);
    let step = prop_oneof![
        4 => (name.clone(), proptest::collection::vec(range.clone(), 1..3), 0..GRANTS.len(), lasts())
            .prop_map(|(name, ranges, grant, lasts)| Step::Allow { name, ranges, grant, lasts }),
        3 => name.clone().prop_map(Step::Remove),
        3 => (name.clone(), range.clone(), any::<bool>())
            .prop_map(|(name, range, comes)| Step::Entry { name, range, comes }),
        3 => (
            name.clone(),
            proptest::option::of(0..GRANTS.len()),
            lasts(),
            proptest::option::of(name.clone())
        )
            .prop_map(|(name, grant, lasts, rename)| Step::Set { name, grant, lasts, rename }),
        2 => (name.clone(), range.clone()).prop_map(|(name, range)| Step::Exempt { name, range }),
        1 => name.prop_map(Step::Unexempt),
        4 => (range.clone(), lasts()).prop_map(|(range, lasts)| Step::Block { range, lasts }),
        3 => range.prop_map(Step::Unblock),
        1 => any::<bool>().prop_map(Step::Mode),
        6 => prop_oneof![4 => Just(true), 1 => Just(false)].prop_map(Step::Store),
        9 => prop_oneof![9 => Just(true), 1 => Just(false)].prop_map(Step::Kernel),
        2 => (1u64..20).prop_map(Step::Wait),
        1 => Just(Step::Flush),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What a request asks for, to be found again on the disk: its ticket is noted in the record.
fn request(step: &Step, ticket: u64) -> Option<Request> {
    let seconds = Duration::from_secs;
    Some(match step {
        Step::Allow { name, ranges, grant, lasts } => {
            Request::of(accounts::Request::Allow(NewAccount {
                hours: None,
                name: NAMES[*name].parse().unwrap(),
                entries: ranges.iter().map(|at| Entry::Range(range(RANGES[*at]))).collect(),
                services: Grant::parse(GRANTS[*grant]).unwrap(),
                lasts: lasts.map(seconds),
                until: None,
                note: ticket.to_string(),
                hosts: accounts::HostOptions::default(),
            }))
        }
        Step::Remove(name) => {
            Request::of(accounts::Request::Remove { name: NAMES[*name].parse().unwrap() })
                .forced(true)
        }
        Step::Entry { name, range: at, comes } => {
            let (name, entries) =
                (NAMES[*name].parse().unwrap(), vec![Entry::Range(range(RANGES[*at]))]);
            Request::of(match comes {
                true => accounts::Request::Add { name, entries },
                false => accounts::Request::Drop { name, entries },
            })
        }
        Step::Set { name, grant, lasts, rename } => {
            let edit = accounts::Edit {
                services: grant.map(|at| Grant::parse(GRANTS[at]).unwrap()),
                ends: lasts.map(|span| accounts::Ends::After(seconds(span))),
                within: None,
                note: None,
                rename: rename.map(|at| NAMES[at].parse().unwrap()),
            };
            Request::of(accounts::Request::Set { name: NAMES[*name].parse().unwrap(), edit })
        }
        Step::Exempt { name, range: at } => Request::of(exemptions::Request::Add {
            name: NAMES[*name].parse().unwrap(),
            entries: vec![Entry::Range(range(RANGES[*at]))],
        }),
        Step::Unexempt(name) => Request::of(exemptions::Request::Remove {
            name: NAMES[*name].parse().unwrap(),
            entries: Vec::new(),
        }),
        Step::Block { range: at, lasts } => Request::of(blocks::Request::Set(NewBlock {
            range: range(RANGES[*at]),
            lasts: lasts.map(seconds),
            reason: ticket.to_string(),
        }))
        .forced(true),
        Step::Unblock(at) => unblock(RANGES[*at]),
        Step::Mode(open) => mode(if *open { Mode::Open } else { Mode::Allowlist }),
        _ => return None,
    })
}

struct Scene {
    engine: Engine,
    now: Time,
    /// What a restart would find.
    disk: State,
    /// The commit that the store has not answered yet.
    commit: Option<Vec<Change>>,
    /// What was sent to the kernel and not done yet.
    queue: VecDeque<Action>,
    kernel: Kernel,
    /// The kernel as it will be when all that was sent is done.
    sent: Kernel,
    /// The requests that were not answered yet, each with what it asks for.
    asked: BTreeMap<u64, Step>,
    /// The tickets found in what was written down, each with what the disk and the memory
    /// said then for each address, and all that was sent since.
    written: BTreeMap<u64, Vec<BTreeSet<Answer>>>,
    /// The last revision at which all was sent: answers to earlier ones say nothing.
    whole: Revision,
    /// Whether the kernel refused something that was not outdated: ever, and since all was sent.
    refused: bool,
    is_behind: bool,
    /// What the ends of accounts denied, unless an account that allows it was written down since.
    denied: BTreeSet<AddrRange>,
    next: u64,
}

fn answers(table: &Table) -> Vec<Answer> {
    ADDRESSES.iter().map(|at| table.at(at.parse().unwrap())).collect()
}

fn answers_of(kernel: &Kernel) -> Vec<Answer> {
    ADDRESSES.iter().map(|at| kernel.at(at.parse::<IpAddr>().unwrap())).collect()
}

impl Scene {
    fn new() -> Scene {
        let protection = Protection::On { since: START };
        let disk = State::with_posture(Posture { protection, ..Posture::default() });
        let mut scene = Scene {
            engine: Engine::new(disk.clone(), Config::default()),
            now: START,
            disk,
            commit: None,
            queue: VecDeque::new(),
            kernel: Kernel::default(),
            sent: Kernel::default(),
            asked: BTreeMap::new(),
            written: BTreeMap::new(),
            whole: 0,
            refused: false,
            is_behind: false,
            denied: BTreeSet::new(),
            next: 0,
        };
        scene.feed(Event::Started);
        scene
    }

    fn feed(&mut self, event: Event) {
        let actions = self.engine.handle(event, self.now);
        self.execute(actions);
    }

    fn execute(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Commit { changes, .. } => {
                    assert!(self.commit.is_none(), "two commits at once");
                    self.commit = Some(changes);
                }
                Action::Reply(Ticket(ticket), reply) => self.replied(ticket, &reply),
                Action::Load(_) | Action::Apply(_) | Action::TakeDown { .. } => self.send(action),
                Action::ListFlows { .. } | Action::Cut(_) | Action::ReadSets(_) => {
                    self.queue.push_back(action);
                }
                _ => {}
            }
        }
    }

    /// Something is sent to the kernel: it may close, and open only what the disk allows.
    fn send(&mut self, action: Action) {
        let before = answers_of(&self.sent);
        match action.clone() {
            Action::Load(load) => {
                (self.whole, self.is_behind) = (load.to, false);
                self.sent.load(*load);
            }
            Action::Apply(apply) => {
                assert!(!self.is_behind, "a difference to what the kernel refused");
                self.sent.apply(*apply).expect("a difference fits what was sent before");
            }
            Action::TakeDown { to } => {
                (self.whole, self.is_behind) = (to, false);
                self.sent.take_down();
            }
            _ => {}
        }
        let disk = answers(&Table::compile(&self.disk, self.now));
        let after = answers_of(&self.sent);
        for (place, after) in after.iter().enumerate() {
            assert!(
                after.is_at_most(&before[place]) || after.is_at_most(&disk[place]),
                "{} opens: {after:?}, it had {:?}, and the disk says {:?}",
                ADDRESSES[place],
                before[place],
                disk[place]
            );
        }
        for said in self.written.values_mut() {
            for (said, sent) in said.iter_mut().zip(&after) {
                said.insert(sent.clone());
            }
        }
        self.queue.push_back(action);
    }

    fn replied(&mut self, ticket: u64, reply: &Reply) {
        let step = self.asked.remove(&ticket).expect("each request is answered once");
        if let Reply::Refused(refusal) = reply {
            let blames_kernel = matches!(refusal.why, Cause::NotInKernel { .. });
            assert!(self.refused || !blames_kernel, "the kernel did not refuse {step:?}");
        }
        if !matches!(reply, Reply::Done { .. }) {
            return;
        }
        if !matches!(step, Step::Allow { .. } | Step::Block { .. }) {
            return;
        }
        assert!(self.written.contains_key(&ticket), "{step:?} is not written down");
        // The kernel has what the disk said then, or what was sent since.
        let said = &self.written[&ticket];
        let held = answers_of(&self.kernel);
        let flushed = self.kernel.table.is_none() || self.kernel.is_behind;
        for (place, address) in ADDRESSES.iter().enumerate() {
            let is_there = said[place].contains(&held[place]);
            assert!(is_there || flushed, "{step:?} is done, but {address} has {:?}", held[place]);
        }
    }

    fn take(&mut self, step: &Step) {
        let ticket = self.next + 1;
        if let Some(request) = request(step, ticket) {
            self.next = ticket;
            self.asked.insert(ticket, step.clone());
            let ticket = Ticket(ticket);
            self.feed(Event::Asked { ticket, caller: anna(), request });
            return;
        }
        match step {
            Step::Store(works) => self.store(*works),
            Step::Kernel(works) => self.kernel(*works),
            Step::Wait(seconds) => self.wait(*seconds),
            Step::Flush => {
                self.kernel = Kernel { table: None, is_behind: true };
                // What was sent is executed on nothing; the answers to it do not count.
                self.sent = Kernel { is_behind: false, ..self.sent.clone() };
                self.feed(Event::Tampered { by: "x".into(), found: "y".into() });
            }
            _ => {}
        }
    }

    fn store(&mut self, works: bool) {
        let Some(changes) = self.commit.take() else { return };
        if !works {
            self.feed(Event::Stored(Err("full".to_owned())));
            return;
        }
        let mut tickets = Vec::new();
        for change in changes {
            let ticket: Option<u64> = match &change {
                Change::Accounts(put) => put.record.as_ref().and_then(|it| it.note.parse().ok()),
                Change::Blocks(put) => put.record.as_ref().and_then(|it| it.reason.parse().ok()),
                _ => None,
            };
            tickets.extend(ticket);
            if let Change::Denials(Put { key: range, record: None }) = &change {
                self.denied.remove(range);
            }
            let _ = self.disk.apply(change);
        }
        // What was written down may have ended in the meantime.
        let states = [&self.disk, self.engine.state()];
        let [disk, memory] = states.map(|state| answers(&Table::compile(state, self.now)));
        let said =
            disk.into_iter().zip(memory).map(|(disk, memory)| BTreeSet::from([disk, memory]));
        let said: Vec<BTreeSet<Answer>> = said.collect();
        // An account keeps its ticket when it changes: the first time counts.
        for ticket in tickets {
            self.written.entry(ticket).or_insert_with(|| said.clone());
        }
        self.feed(Event::Stored(Ok(())));
    }

    fn kernel(&mut self, works: bool) {
        let Some(action) = self.queue.pop_front() else { return };
        let refused = || Err("busy".to_owned());
        let answer = match action {
            Action::Apply(apply) if works => {
                Event::Applied { to: apply.to, result: self.kernel.apply(*apply) }
            }
            Action::Load(load) if works => {
                let to = load.to;
                self.kernel.load(*load);
                self.feed(Event::Applied { to, result: Ok(()) });
                Event::ListsExchanged { to, result: Ok(()) }
            }
            Action::TakeDown { to } if works => {
                self.kernel.take_down();
                Event::Applied { to, result: Ok(()) }
            }
            Action::Apply(apply) => {
                self.kernel.is_behind = true;
                Event::Applied { to: apply.to, result: refused() }
            }
            Action::Load(load) => {
                self.kernel.is_behind = true;
                Event::Applied { to: load.to, result: refused() }
            }
            Action::TakeDown { to } => Event::Applied { to, result: refused() },
            Action::ListFlows { .. } => Event::FlowsListed(Ok(())),
            Action::Cut(_) => Event::FlowsCut(Ok(())),
            _ => Event::SetsRead(None),
        };
        if let Event::Applied { to, result: Err(_) } = &answer {
            if *to < self.whole || self.is_behind {
                let actions = self.engine.handle(answer, self.now);
                assert!(actions.is_empty(), "an outdated answer says nothing: {actions:?}");
                return;
            }
            (self.refused, self.is_behind) = (true, true);
        }
        self.feed(answer);
    }

    fn wait(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
        for _ in 0..100 {
            if self.engine.next_deadline().is_none_or(|at| at > self.now) {
                return;
            }
            let before = self.engine.state().denials.all.clone();
            let actions = self.engine.handle_timeout(self.now);
            let denials = self.engine.state().denials.all.values();
            let new = denials.filter(|denial| before.get(&denial.range) != Some(*denial));
            self.denied.extend(new.map(|denial| denial.range));
            if actions.is_empty() {
                return;
            }
            self.execute(actions);
        }
        panic!("it never comes to rest");
    }

    /// Everything works again, and is answered.
    fn settle(&mut self) {
        for _ in 0..1000 {
            if self.commit.is_some() {
                self.store(true);
            } else if !self.queue.is_empty() {
                self.kernel(true);
            } else if self.engine.next_deadline().is_some() {
                self.wait(10);
            } else {
                return;
            }
        }
        panic!("it never comes to rest");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(1000), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn disk_kernel_and_memory_agree_in_the_end_and_nothing_opens_before(steps in steps()) {
        let mut scene = Scene::new();
        for step in &steps {
            scene.take(step);
        }
        scene.settle();
        prop_assert!(scene.asked.is_empty(), "not answered: {:?}", scene.asked);
        prop_assert_eq!(&scene.disk, scene.engine.state());
        let mut denied = scene.denied.iter();
        let lost = denied.find(|range| !scene.disk.denials.all.contains_key(range));
        prop_assert!(lost.is_none(), "the denial of an ended account is lost: {:?}", lost);
        prop_assert_eq!(scene.kernel.ruleset(), scene.engine.desired(scene.now));
    }
}
