//! Leases over random packets, ends, readings, flushes, restarts and refusals, against a model that keeps
//! for each user and address when it was opened, when the last packet came, and whether a call runs.
//!
//! Held after every step, with the sets of a kernel of the model's own: whoever may not reach a service
//! does not, whoever may does; a user has four addresses at most; no lease ends during a call or before its
//! limits; nothing is taught to the kernel for a lease that is not on the disk. In the end each end of a
//! lease is in the audit log once.
//!
//! Two lags are allowed, and documented: a flush sets a lease back to what the last reading of the sets
//! showed, and a reboot to what was saved.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::condition::{self, IN_CALL, LEASE, Met};
use crate::features::leases::{self, LeaseKey};
use crate::features::users::{self, NewUser, UserName};
use crate::hours::{Hours, Within};
use crate::learned::{Element, Key, LearnedSets, SetSpec};
use crate::secret::Entropy;

const USERS: [&str; 3] = ["anna", "ben", "cleo"];
const ADDRESSES: [&str; 6] =
    ["203.0.113.7", "203.0.113.8", "203.0.113.9", "203.0.113.10", "198.51.100.7", "2001:db8::7"];
const GRANTS: [&str; 3] = ["sip", "web", "sip,web"];
/// Idle limits of users, in seconds.
const IDLES: [u64; 3] = [60, 150, 600];
/// START is a Friday, 09:17 UTC: these end three minutes later, and begin again after five more.
const HOURS: &str = "daily 07:00-09:20,09:25-23:00";
/// The absolute limit where none is named.
const WEEK: u64 = 7 * 86_400;
/// How long it takes at most, in seconds, until a lease that the kernel no longer honours is removed, if the
/// sets are read every ten seconds.
const LAG: u64 = 60;
/// How far clocks and readings may be off.
const INEXACT: u64 = 2;
const EVER: u64 = u64::MAX;

#[derive(Clone, Debug)]
enum Step {
    Ask(Ask),
    /// An accepted packet is sent, if it is accepted.
    Packet(usize, Packet),
    /// Time passes, with packets of an address every twenty seconds, or with none.
    Wait(u64, Option<(usize, Packet)>),
    /// Whether readings of the sets arrive from now on.
    Readings(bool),
    /// The daemon is stopped for a while: packets come, nobody reads.
    Restart(u64, Option<(usize, Packet)>),
    /// The machine is; what was saved is there, an older file, or none.
    Reboot(File),
    Flush,
    /// The store answers at once, refuses, or does not answer until it does.
    Store(Store),
    /// The clock is set, by this many seconds.
    Clock(i64),
}

#[derive(Clone, Debug)]
enum Ask {
    Add { user: usize, grant: usize, idle: usize, hours: bool },
    Set { user: usize, grant: usize },
    Within { user: usize, hours: bool },
    Revoke(usize),
    Open { user: usize, address: usize, lasts: Option<u64> },
    Close(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Packet {
    /// Judged by itself.
    Register,
    /// Of a running connection.
    Page,
    /// Of a call.
    Media,
}

#[derive(Clone, Copy, Debug)]
enum File {
    Saved,
    Old,
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Store {
    Works,
    Refuses,
    Hangs,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (user, address, grant) = (0..USERS.len(), 0..ADDRESSES.len(), 0..GRANTS.len());
    let packet = || prop_oneof![Just(Packet::Register), Just(Packet::Page), Just(Packet::Media)];
    let sends = || proptest::option::of((0..ADDRESSES.len(), packet()));
    let ask = prop_oneof![
        3 => (user.clone(), grant.clone(), 0..IDLES.len(), any::<bool>())
            .prop_map(|(user, grant, idle, hours)| Ask::Add { user, grant, idle, hours }),
        2 => (user.clone(), grant).prop_map(|(user, grant)| Ask::Set { user, grant }),
        1 => (user.clone(), any::<bool>()).prop_map(|(user, hours)| Ask::Within { user, hours }),
        1 => user.clone().prop_map(Ask::Revoke),
        8 => (user, address.clone(), proptest::option::of(5u64..400))
            .prop_map(|(user, address, lasts)| Ask::Open { user, address, lasts }),
        2 => address.clone().prop_map(Ask::Close),
    ];
    let file = prop_oneof![3 => Just(File::Saved), 1 => Just(File::Old), 1 => Just(File::Lost)];
    let store =
        prop_oneof![3 => Just(Store::Works), 1 => Just(Store::Refuses), 1 => Just(Store::Hangs)];
    let jump = prop_oneof![Just(-9_000_000), Just(-300), Just(-90), Just(120), Just(9_000_000)];
    let step = prop_oneof![
        14 => ask.prop_map(Step::Ask),
        5 => (address, packet()).prop_map(|(address, packet)| Step::Packet(address, packet)),
        8 => (1u64..250, sends()).prop_map(|(seconds, sends)| Step::Wait(seconds, sends)),
        2 => any::<bool>().prop_map(Step::Readings),
        2 => (1u64..100, sends()).prop_map(|(seconds, sends)| Step::Restart(seconds, sends)),
        1 => file.prop_map(Step::Reboot),
        2 => Just(Step::Flush),
        4 => store.prop_map(Step::Store),
        1 => jump.prop_map(Step::Clock),
    ];
    proptest::collection::vec(step, 1..60)
}

fn address(at: usize) -> IpAddr {
    ADDRESSES[at].parse().unwrap()
}

fn hours() -> Hours {
    Hours::parse(HOURS, "UTC").unwrap()
}

fn request(ask: &Ask) -> Request {
    let name = |user: usize| -> UserName { USERS[user].parse().unwrap() };
    let edit = |user: usize, edit| users::Request::Set { name: name(user), edit };
    match ask.clone() {
        Ask::Add { user, grant, idle, hours: within } => Request::of(users::Request::Add {
            new: Box::new(NewUser {
                name: name(user),
                services: Grant::parse(GRANTS[grant]).unwrap(),
                kinds: BTreeSet::new(),
                idle: Some(Duration::from_secs(IDLES[idle])),
                hours: within.then(hours),
                note: String::new(),
            }),
            entropy: Entropy::new(vec![7; Entropy::LENGTH]),
        }),
        Ask::Set { user, grant } => {
            let services = Some(Grant::parse(GRANTS[grant]).unwrap());
            Request::of(edit(user, users::Edit { services, ..users::Edit::default() }))
        }
        Ask::Within { user, hours: within } => {
            let within = Some(if within { Within::Hours(hours()) } else { Within::Always });
            Request::of(edit(user, users::Edit { within, ..users::Edit::default() }))
        }
        Ask::Revoke(user) => Request::of(users::Request::Revoke { name: name(user) }),
        Ask::Open { user, address: at, lasts } => Request::of(users::Request::Open {
            name: name(user),
            address: address(at),
            lasts: lasts.map(Duration::from_secs),
        }),
        Ask::Close(at) => Request::of(leases::Request::Close { address: address(at) }),
    }
}

/// A moment by a clock that nobody sets, in seconds.
type Moment = u64;

/// What the model keeps of a user.
#[derive(Clone, Debug)]
struct Person {
    grant: usize,
    idle: u64,
    hours: bool,
}

/// What the model keeps of a lease.
#[derive(Clone, Debug)]
struct Open {
    idle: u64,
    /// When it was opened last, and what the clock showed then besides.
    opened: Moment,
    clock: i64,
    /// Until when it must count, unless a packet comes, and what a flush and a reboot leave of that.
    must: Moment,
    read: Moment,
    saved: Moment,
    /// Until when it may count, and what a flush leaves of that.
    may: Moment,
    read_may: Moment,
    /// Until when it may count at least, because the clock was set back.
    floor: Moment,
    /// The same for the absolute limit.
    end_must: Moment,
    end_may: Moment,
    /// Whether another user has had the same address.
    shared: bool,
}

#[derive(Debug, Default)]
struct Model {
    people: BTreeMap<usize, Person>,
    open: BTreeMap<(usize, usize), Open>,
    /// Until when an address must count as being in a call, and until when it may.
    calls: BTreeMap<usize, (Moment, Moment)>,
    /// What has ended, with the word of the audit log.
    ended: Vec<String>,
}

impl Model {
    /// Whether an address must count as being in a call, and whether it may.
    fn in_call(&self, address: usize, now: Moment) -> (bool, bool) {
        let call = self.calls.get(&address);
        call.map_or((false, false), |(must, may)| (*must > now, *may > now))
    }

    fn at(&mut self, address: usize) -> impl Iterator<Item = &mut Open> {
        self.open.iter_mut().filter(move |((_, at), _)| *at == address).map(|(_, open)| open)
    }

    /// Whether an address must reach a service, and whether it may.
    fn reaches(&self, address: usize, service: &str, now: Moment, wall: Time) -> (bool, bool) {
        let (must_call, may_call) = self.in_call(address, now);
        let here = || self.open.iter().filter(|((_, at), _)| *at == address);
        // The kernel has one element for an address.
        let must = here().any(|(_, open)| open.must > now)
            && (must_call || here().any(|(_, open)| open.end_must > now));
        let may = here().any(|(_, open)| open.may > now)
            && (may_call || here().any(|(_, open)| open.end_may > now));
        let granted = |in_call: bool| {
            here().any(|((user, _), _)| {
                let person = &self.people[user];
                let within = !person.hours || hours().contain(wall) || in_call && service == "sip";
                within && GRANTS[person.grant].split(',').any(|it| it == service)
            })
        };
        (must && granted(must_call), may && granted(may_call))
    }

    fn opened(
        &mut self,
        user: usize,
        address: usize,
        lasts: Option<u64>,
        (now, clock): (Moment, i64),
    ) {
        let mine = self.open.iter().filter(|((of, at), _)| *of == user && *at != address);
        let mut mine: Vec<_> = mine.map(|(key, open)| (open.opened, *key)).collect();
        mine.sort_unstable();
        let surplus = (mine.len() + 1).saturating_sub(4);
        for (_, key) in mine.into_iter().take(surplus) {
            self.end(key, "replace", now);
        }
        let idle = self.people[&user].idle.min(lasts.unwrap_or(EVER));
        let (must, end) = (now + idle, now + lasts.unwrap_or(WEEK));
        // A flush before the next reading puts back what was taught.
        let open = Open {
            idle,
            opened: now,
            clock,
            must,
            read: must,
            saved: 0,
            may: must,
            read_may: must,
            floor: 0,
            end_must: end,
            end_may: end,
            shared: false,
        };
        self.open.insert((user, address), open);
        let shared = self.at(address).count() > 1;
        for open in self.at(address) {
            open.shared |= shared;
            // The one limit of several leases for an address is by the clock.
            if shared && open.clock != clock {
                open.end_must = 0;
            }
        }
        self.limit(address, now);
    }

    /// What an address had for longer than its leases allow now is over.
    fn limit(&mut self, address: usize, now: Moment) {
        let longest = self.at(address).map(|open| open.idle).max().unwrap_or(0);
        self.at(address).for_each(|open| open.may = open.may.max(now + longest));
    }

    fn end(&mut self, key: (usize, usize), word: &str, now: Moment) {
        if self.open.remove(&key).is_some() {
            self.ended.push(format!("{word} {} {}", USERS[key.0], address(key.1)));
            self.limit(key.1, now);
        }
    }

    fn done(&mut self, ask: &Ask, now: Moment, clock: i64) {
        match *ask {
            Ask::Add { user, grant, idle, hours } => {
                let before = self.people.insert(user, Person { grant, idle: IDLES[idle], hours });
                assert!(before.is_none());
            }
            // What changes nothing is answered at once, also where the user is not written down yet.
            Ask::Set { user, grant } => {
                self.people.entry(user).and_modify(|person| person.grant = grant);
            }
            Ask::Within { user, hours } => {
                self.people.entry(user).and_modify(|person| person.hours = hours);
            }
            Ask::Revoke(user) => {
                let of: Vec<_> = self.open.keys().filter(|(of, _)| *of == user).copied().collect();
                of.into_iter().for_each(|key| self.end(key, "revoke", now));
                assert!(self.people.remove(&user).is_some());
            }
            Ask::Open { user, address, lasts } => self.opened(user, address, lasts, (now, clock)),
            Ask::Close(address) => {
                let at: Vec<_> =
                    self.open.keys().filter(|(_, at)| *at == address).copied().collect();
                assert!(!at.is_empty());
                at.into_iter().for_each(|key| self.end(key, "close", now));
            }
        }
    }

    /// An accepted packet.
    fn sent(&mut self, address: usize, packet: Packet, now: Moment) {
        let longest_of_all = self.open.values().map(|open| open.idle).max().unwrap_or(0);
        let longest = self.at(address).map(|open| open.idle).max().unwrap_or(0);
        // The kernel renews by one limit.
        let limit = if packet == Packet::Register { longest } else { longest_of_all };
        self.at(address).for_each(|open| {
            open.must = open.must.max(now + open.idle);
            open.may = (now + limit).max(open.floor);
        });
        if packet == Packet::Media {
            self.calls.insert(address, (now + 60, now + 60));
        }
    }
}

/// The engine, a store and a kernel.
struct Scene {
    engine: Engine,
    now: Moment,
    /// By how many seconds the clock was set.
    clock: i64,
    model: Model,
    table: Kernel,
    /// The elements of the kernel's sets, with their ends by a clock that nobody sets.
    sets: BTreeMap<(&'static SetSpec, Key), Moment>,
    disk: State,
    log: Vec<String>,
    store: Store,
    commit: Option<(Vec<Change>, Vec<Record>)>,
    /// What was not answered yet, when it was asked, and what the clock showed then besides.
    asked: BTreeMap<u64, (Ask, Moment, i64)>,
    /// Whether it was done, of what was answered before something that was asked earlier.
    answered: BTreeMap<u64, bool>,
    next: u64,
    reads: bool,
    /// When the sets were read last, and since when they were read every ten seconds and the clock ran.
    read: Moment,
    regular: Moment,
    file: LearnedSets,
    old_file: LearnedSets,
}

impl Scene {
    fn new() -> Scene {
        let disk = Desk::on().engine.state().clone();
        let mut scene = Scene {
            engine: Engine::new(disk.clone(), Config::default()),
            now: 1_000_000,
            clock: 0,
            model: Model::default(),
            table: Kernel::default(),
            sets: BTreeMap::new(),
            disk,
            log: Vec::new(),
            store: Store::Works,
            commit: None,
            asked: BTreeMap::new(),
            answered: BTreeMap::new(),
            next: 0,
            reads: true,
            read: 0,
            regular: 0,
            file: LearnedSets::default(),
            old_file: LearnedSets::default(),
        };
        scene.feed(Event::Started);
        scene
    }

    fn wall(&self) -> Time {
        let millis = (i64::try_from(self.now).unwrap() - 1_000_000 + self.clock) * 1000;
        Time::from_millis(START.millis() + millis)
    }

    fn feed(&mut self, event: Event) {
        let actions = self.engine.handle(event, self.wall());
        self.execute(actions);
    }

    /// What is due is done. Only by that do leases end by themselves.
    fn due(&mut self) {
        for _ in 0..100 {
            let wall = self.wall();
            if self.engine.next_deadline().is_none_or(|at| at > wall) {
                return;
            }
            let before: Vec<_> = self.engine.state().leases.all.keys().cloned().collect();
            let actions = self.engine.handle_timeout(wall);
            let after = &self.engine.state().leases.all;
            let gone: Vec<_> = before.into_iter().filter(|it| !after.contains_key(it)).collect();
            gone.iter().for_each(|key| self.expired(key));
            self.execute(actions);
        }
        panic!("it never comes to rest");
    }

    fn expired(&mut self, key: &LeaseKey) {
        let key = place(key);
        let open = self.model.open.get(&key).unwrap_or_else(|| panic!("{key:?} is not written"));
        let (in_call, _) = self.model.in_call(key.1, self.now);
        let within = in_call || open.end_must > self.now + INEXACT;
        let counts = open.must > self.now + INEXACT && within;
        assert!(!counts, "{key:?} has ended at {}: {open:?}, in call: {in_call}", self.now);
        self.model.end(key, "expire", self.now);
    }

    fn execute(&mut self, actions: Vec<Action>) {
        let mut actions = std::collections::VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            for answer in self.answers(action) {
                actions.extend(self.engine.handle(answer, self.wall()));
            }
        }
    }

    fn answers(&mut self, action: Action) -> Vec<Event> {
        match action {
            Action::Commit { changes, records } => {
                assert!(self.commit.is_none(), "two commits at once");
                self.commit = Some((changes, records));
                return match self.store {
                    Store::Hangs => Vec::new(),
                    store => self.stored(store == Store::Works),
                };
            }
            Action::Apply(apply) => {
                let to = apply.to;
                return vec![Event::Applied { to, result: self.table.apply(*apply) }];
            }
            Action::Load(load) => {
                let to = load.to;
                self.teach(&load.learned);
                self.table.load(*load);
                let result = Ok(());
                return vec![
                    Event::Applied { to, result: result.clone() },
                    Event::ListsExchanged { to, result },
                ];
            }
            Action::ListFlows { .. } => return vec![Event::FlowsListed(Ok(()))],
            Action::Cut(_) => return vec![Event::FlowsCut(Ok(()))],
            Action::ReadSets(_) => return vec![self.reading()],
            Action::Teach(elements) => {
                for element in &elements {
                    let leases = &self.disk.leases.all;
                    let is_written = leases.at(element.key.address).next().is_some();
                    assert!(is_written, "{element:?} is taught, and no lease is written");
                }
                self.teach(&elements);
                return vec![Event::Taught(Ok(()))];
            }
            Action::Unlearn(unlearn) => {
                self.sets.retain(|(set, key), _| !unlearn.concerns(set, key));
                return vec![Event::Unlearned(Ok(()))];
            }
            Action::SaveLearned(sets) => {
                if sets.differs_from(&self.file, self.wall()) {
                    self.old_file = std::mem::replace(&mut self.file, *sets);
                }
                for open in self.model.open.values_mut() {
                    open.saved = open.read.saturating_sub(open.idle / 4 + 1);
                }
                return vec![Event::LearnedSaved(Ok(()))];
            }
            Action::Reply(Ticket(ticket), reply) => self.replied(ticket, &reply),
            _ => {}
        }
        Vec::new()
    }

    fn stored(&mut self, works: bool) -> Vec<Event> {
        let Some((changes, records)) = self.commit.take() else { return Vec::new() };
        if !works {
            return vec![Event::Stored(Err("full".to_owned()))];
        }
        changes.into_iter().for_each(|change| drop(self.disk.apply(change)));
        let line = |record: &Record| format!("{} {}", record.action, record.subject);
        self.log.extend(records.iter().map(line));
        vec![Event::Stored(Ok(()))]
    }

    /// Answers may come in another order than that in which it was decided, which is that of asking.
    fn replied(&mut self, ticket: u64, reply: &Reply) {
        assert!(self.asked.contains_key(&ticket), "each request is answered once");
        self.answered.insert(ticket, matches!(reply, Reply::Done(_)));
        while let Some(first) = self.asked.first_entry() {
            let Some(done) = self.answered.remove(first.key()) else { return };
            let (ask, at, clock) = first.remove();
            if done {
                self.done(&ask, at, clock);
            }
        }
    }

    fn done(&mut self, ask: &Ask, at: Moment, clock: i64) {
        self.model.done(ask, self.now, clock);
        let Ask::Open { user, address, .. } = ask else { return };
        let open = self.model.open.get_mut(&(*user, *address)).unwrap();
        // The kernel is told when it is written down, of what was granted before.
        open.end_must -= self.now - at;
        open.opened = at;
        if clock != self.clock {
            // The clock was set before.
            (open.opened, open.floor, open.may) = (0, EVER, EVER);
            (open.end_must, open.end_may) = (0, EVER);
        }
    }

    /// As the kernel lane does: what would end earlier is prolonged, by more than a second.
    fn teach(&mut self, elements: &[Lasting]) {
        for element in elements {
            let until = self.now + u64::try_from(element.left.as_millis().div_ceil(1000)).unwrap();
            let known = self.sets.entry((element.set, element.key)).or_insert(until);
            if *known + 1 < until || *known <= self.now {
                *known = until;
            }
        }
    }

    fn reading(&mut self) -> Event {
        if !self.reads {
            return Event::SetsRead(None);
        }
        self.sets.retain(|_, until| *until > self.now);
        let wall = self.wall();
        let elements = self.sets.iter().map(|((set, key), until)| {
            let until = wall.after(Duration::from_secs(until - self.now));
            Element { set, key: *key, until }
        });
        self.read = self.now;
        for open in self.model.open.values_mut() {
            (open.read, open.read_may) = (open.must, open.may);
        }
        Event::SetsRead(Some(elements.collect()))
    }

    fn sets(&self) -> LearnedSets {
        let wall = self.wall();
        let there = self.sets.iter().filter(|(_, until)| **until > self.now);
        let elements = there.map(|((set, key), until)| {
            let until = wall.after(Duration::from_secs(until - self.now));
            Element { set, key: *key, until }
        });
        elements.collect()
    }

    /// How far the kernel accepts what an address sends to a service.
    fn met(&self, at: usize, service: &str) -> Met {
        let (address, sets) = (address(at), self.sets());
        let answer = self.table.at(address);
        let service = Grant::parse(service).unwrap();
        let granting = answer.conditional().filter(|(_, grant)| service.is_within(grant));
        let met = granting.map(|(condition, _)| condition.met(address, &sets, self.wall()));
        met.max().unwrap_or(Met::No)
    }

    /// A packet is sent, which the kernel accepts or not.
    fn send(&mut self, at: usize, packet: Packet) {
        let service = if packet == Packet::Page { "web" } else { "sip" };
        let accepted = match self.met(at, service) {
            Met::No => false,
            Met::ForCalls => packet != Packet::Page,
            Met::Fully => true,
        };
        if !accepted {
            return;
        }
        let key = condition::key(address(at));
        let answer = self.table.at(address(at));
        let crate::policy::Stance::Account { conditional, .. } = answer.stance else { return };
        let structure = &self.table.table.as_ref().unwrap().structure;
        let limit = match packet {
            Packet::Register => conditional.idle.unwrap().as_secs(),
            Packet::Page | Packet::Media => structure.idle_limits().last().copied().unwrap(),
        };
        self.sets.insert((&LEASE, key), self.now + limit);
        if packet == Packet::Media {
            self.sets.insert((&IN_CALL, key), self.now + 60);
        }
        self.model.sent(at, packet, self.now);
    }

    /// Time passes while the daemon runs.
    fn wait(&mut self, seconds: u64, sends: Option<(usize, Packet)>) {
        for second in 1..=seconds {
            self.now += 1;
            if let Some((at, packet)) = sends.filter(|_| second % 20 == 1) {
                self.send(at, packet);
            }
            if self.now.is_multiple_of(10) {
                let reading = self.reading();
                if !self.reads {
                    self.regular = self.regular.max(self.now);
                }
                self.feed(reading);
            }
            self.due();
            self.check(true);
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Ask(ask) => {
                // Nothing is asked twice in the same moment.
                self.wait(1, None);
                self.next += 1;
                self.asked.insert(self.next, (ask.clone(), self.now, self.clock));
                let ticket = Ticket(self.next);
                self.feed(Event::Asked { ticket, caller: anna(), request: request(ask) });
            }
            Step::Packet(at, packet) => self.send(*at, *packet),
            Step::Wait(seconds, sends) => self.wait(*seconds, *sends),
            Step::Readings(arrive) => self.reads = *arrive,
            Step::Store(store) => {
                self.store = *store;
                if *store != Store::Hangs {
                    let answer = self.stored(*store == Store::Works);
                    answer.into_iter().for_each(|answer| self.feed(answer));
                }
                if *store == Store::Refuses {
                    let leases = self.engine.state().leases.all.keys();
                    let there: Vec<_> = leases.map(place).collect();
                    self.end_again(&there);
                }
            }
            Step::Flush => self.flush(),
            Step::Restart(seconds, sends) => self.restart(*seconds, *sends),
            Step::Reboot(file) => self.reboot(*file),
            Step::Clock(jump) => self.set_clock(*jump),
        }
        self.due();
    }

    fn flush(&mut self) {
        self.lose(|open| open.read);
        (self.table, self.sets) = (Kernel { table: None, is_behind: true }, BTreeMap::new());
        self.feed(Event::Tampered { by: "x".into(), found: "y".into() });
    }

    /// What the kernel had is lost, and is put back as far as it was known.
    fn lose(&mut self, known: impl Fn(&Open) -> Moment) {
        for open in self.model.open.values_mut() {
            open.must = open.must.min(known(open));
            open.may = open.may.max(open.read_may);
        }
        self.model.calls.values_mut().for_each(|(must, _)| *must = 0);
    }

    /// The daemon is killed, and starts again after a while, in which packets may come.
    fn restart(&mut self, seconds: u64, sends: Option<(usize, Packet)>) {
        for second in 1..=seconds {
            self.now += 1;
            if let Some((at, packet)) = sends.filter(|_| second % 20 == 1) {
                self.send(at, packet);
            }
            self.check(false);
        }
        let file = self.file.clone();
        self.start(file);
    }

    fn reboot(&mut self, file: File) {
        self.now += 30;
        match file {
            File::Saved => self.lose(|open| open.saved),
            // A lease begins with the packet that opened it.
            File::Old | File::Lost => self.lose(|open| open.opened + open.idle),
        }
        (self.table, self.sets) = (Kernel::default(), BTreeMap::new());
        let file = match file {
            File::Saved => self.file.clone(),
            File::Old => self.old_file.clone(),
            File::Lost => LearnedSets::default(),
        };
        self.start(file);
    }

    fn start(&mut self, file: LearnedSets) {
        // What was not answered has not happened.
        (self.commit, self.asked, self.answered) = (None, BTreeMap::new(), BTreeMap::new());
        self.store = Store::Works;
        self.engine = Engine::new(self.disk.clone(), Config::default());
        self.engine.restore_learned(file);
        self.come_back();
        let longest = IDLES[IDLES.len() - 1];
        for open in self.model.open.values_mut() {
            // What was saved may be older; limits hold all the same.
            open.may = open.may.max(self.now + longest);
            if open.clock != self.clock {
                (open.end_must, open.end_may) = (0, EVER);
            }
        }
        self.regular = self.regular.max(self.now);
        self.feed(Event::Started);
    }

    /// Ends that the disk refused are none: they come again.
    fn come_back(&mut self) {
        let mut written = self.log.clone();
        self.model.ended.retain(|end| {
            let place = written.iter().position(|line| line == end);
            place.map(|place| written.remove(place)).is_some()
        });
        let there: Vec<_> = self.disk.leases.all.keys().map(place).collect();
        self.end_again(&there);
    }

    /// Leases that had ended are there again, because that could not be written down. They end once more.
    fn end_again(&mut self, there: &[(usize, usize)]) {
        for key in there {
            let lease = Open {
                idle: IDLES[IDLES.len() - 1],
                opened: self.now,
                clock: self.clock,
                must: 0,
                read: 0,
                saved: 0,
                may: 0,
                read_may: 0,
                floor: 0,
                end_must: 0,
                end_may: EVER,
                shared: false,
            };
            self.model.open.entry(*key).or_insert(lease);
        }
    }

    fn set_clock(&mut self, jump: i64) {
        self.clock += jump;
        // Where it was set back, leases are examined that much later. The kernel counts by itself.
        self.regular = self.regular.max(self.now + u64::try_from(-jump).unwrap_or(0));
        for open in self.model.open.values_mut() {
            // Until the next reading, and in what is saved, ends are by the clock as it was.
            (open.read, open.saved, open.read_may) = (0, 0, EVER);
            let back = u64::try_from(open.clock - self.clock).unwrap_or(0);
            if back > 0 {
                // What is opened begins again at most when it was opened by the clock.
                open.floor = open.floor.max(open.opened + open.idle + back.min(1000));
                open.may = open.may.max(open.floor);
                open.end_may = EVER;
            }
            if open.shared {
                open.end_must = 0;
            }
        }
    }

    fn check(&self, runs: bool) {
        let wall = self.wall();
        for (at, address) in ADDRESSES.iter().enumerate() {
            // Outside of the hours, a call has its signalling and media.
            for (service, needed) in [("sip", Met::ForCalls), ("web", Met::Fully)] {
                let found = self.met(at, service) >= needed;
                let (must, _) = self.model.reaches(at, service, self.now + INEXACT, wall);
                let before = self.now.saturating_sub(INEXACT);
                let (_, may) = self.model.reaches(at, service, before, wall);
                let what = || format!("{address} {service} at {}: {:#?}", self.now, self.model);
                assert!(may || !found, "reaches {}", what());
                // What closes holds before it is written down.
                let is_closing = self.commit.is_some();
                assert!(found || !must || is_closing, "does not reach {}", what());
            }
        }
        if !runs {
            return;
        }
        let leases = &self.engine.state().leases.all;
        for name in USERS {
            let count = leases.keys().filter(|key| *key.user == *name).count();
            assert!(count <= 4, "{name} has {count}");
        }
        // Nobody keeps what has ended.
        for (key, open) in &self.model.open {
            let idle_end = open.may.max(self.regular);
            let call_end = self.model.calls.get(&key.1).map_or(0, |(_, may)| *may);
            let end = open.end_may.max(call_end);
            let end = idle_end.min(end.max(self.regular)).saturating_add(LAG);
            assert!(self.now < end || self.commit.is_some(), "{key:?} is still there: {open:?}");
        }
    }

    /// All works again, and all ends.
    fn settle(&mut self) {
        for step in [Step::Store(Store::Works), Step::Readings(true)] {
            self.take(&step);
        }
        // What was refused is written with the next change, whatever the clock.
        let change = match self.model.people.contains_key(&0) {
            true => Ask::Revoke(0),
            false => Ask::Add { user: 0, grant: 0, idle: 0, hours: false },
        };
        self.take(&Step::Ask(change));
        self.wait(30, None);
        let state = self.engine.state();
        assert_eq!(self.disk, *state);
        let found: BTreeSet<_> = state.leases.all.keys().map(place).collect();
        assert_eq!(found, self.model.open.keys().copied().collect());
        let words = ["expire ", "close ", "revoke ", "replace "];
        let is_end = |line: &&String| words.iter().any(|word| line.starts_with(word));
        let mut log: Vec<&String> = self.log.iter().filter(is_end).collect();
        let mut ended: Vec<&String> = self.model.ended.iter().collect();
        log.sort_unstable();
        ended.sort_unstable();
        assert_eq!(log, ended);
        assert!(self.asked.is_empty(), "not answered: {:?}", self.asked);
    }
}

/// Where the model keeps a lease.
fn place(key: &LeaseKey) -> (usize, usize) {
    let user = USERS.iter().position(|it| **it == *key.user).unwrap();
    (user, (0..ADDRESSES.len()).find(|at| address(*at) == key.address).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases.max(400), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn leases_are_what_they_should_be_whatever_happens(steps in steps()) {
        let mut scene = Scene::new();
        for step in &steps {
            scene.take(step);
            scene.check(true);
        }
        scene.settle();
    }
}
