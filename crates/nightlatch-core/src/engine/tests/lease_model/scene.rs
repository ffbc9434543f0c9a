//! The engine with a store and a kernel, which the steps move, and what is examined after each.

use super::model::{Model, Moment, Open};
use super::*;

/// The engine, a store and a kernel.
pub(super) struct Scene {
    pub(super) engine: Engine,
    pub(super) now: Moment,
    /// By how many seconds the clock was set.
    pub(super) clock: i64,
    pub(super) model: Model,
    pub(super) table: Kernel,
    /// The elements of the kernel's sets, with their ends by a clock that nobody sets.
    pub(super) sets: BTreeMap<(&'static SetSpec, Key), Moment>,
    pub(super) disk: State,
    pub(super) log: Vec<String>,
    pub(super) store: Store,
    pub(super) commit: Option<(Vec<Change>, Vec<Record>)>,
    /// What was not answered yet, when it was asked, and what the clock showed then besides.
    pub(super) asked: BTreeMap<u64, (Ask, Moment, i64)>,
    /// Whether it was done, of what was answered before something that was asked earlier.
    pub(super) answered: BTreeMap<u64, bool>,
    pub(super) next: u64,
    pub(super) reads: bool,
    /// When the sets were read last, and since when they were read every ten seconds and the clock ran.
    pub(super) read: Moment,
    /// By how many seconds the clock was set then.
    pub(super) read_clock: i64,
    pub(super) regular: Moment,
    pub(super) file: LearnedSets,
    pub(super) old_file: LearnedSets,
}

impl Scene {
    pub(super) fn new() -> Scene {
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
            read_clock: 0,
            regular: 0,
            file: LearnedSets::default(),
            old_file: LearnedSets::default(),
        };
        scene.feed(Event::Started);
        scene
    }

    pub(super) fn wall(&self) -> Time {
        let millis = (i64::try_from(self.now).unwrap() - 1_000_000 + self.clock) * 1000;
        Time::from_millis(START.millis() + millis)
    }

    pub(super) fn feed(&mut self, event: Event) {
        let actions = self.engine.handle(event, self.wall());
        self.execute(actions);
    }

    /// What is due is done. Only by that do leases end by themselves.
    pub(super) fn due(&mut self) {
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

    pub(super) fn expired(&mut self, key: &LeaseKey) {
        let key = place(key);
        let open = self.model.open.get(&key).unwrap_or_else(|| panic!("{key:?} is not written"));
        let (in_call, _) = self.model.in_call(key.1, self.now);
        let within = in_call || open.end_must > self.now + INEXACT;
        let counts = open.must > self.now + INEXACT && within;
        assert!(!counts, "{key:?} has ended at {}: {open:?}, in call: {in_call}", self.now);
        self.model.end(key, "expire", self.now);
    }

    pub(super) fn execute(&mut self, actions: Vec<Action>) {
        let mut actions = std::collections::VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            for answer in self.answers(action) {
                actions.extend(self.engine.handle(answer, self.wall()));
            }
        }
    }

    pub(super) fn answers(&mut self, action: Action) -> Vec<Event> {
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
            Action::SaveLearned(mut sets) => {
                sets.forget(|set, _| set.saved.is_none());
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

    pub(super) fn stored(&mut self, works: bool) -> Vec<Event> {
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
    pub(super) fn replied(&mut self, ticket: u64, reply: &Reply) {
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

    pub(super) fn done(&mut self, ask: &Ask, at: Moment, clock: i64) {
        self.model.done(ask, self.now, clock);
        let Ask::Open { user, address, .. } = ask else { return };
        let open = self.model.open.get_mut(&(*user, *address)).unwrap();
        // The kernel is told when it is written down, of what was granted before.
        open.end_must -= self.now - at;
        open.opened = at;
        // Where it is shared, it is judged by that moment.
        open.must = at + open.idle;
        if clock != self.clock {
            // The clock was set before.
            (open.opened, open.floor, open.may) = (0, EVER, EVER);
            (open.end_must, open.end_may) = (0, EVER);
        }
    }

    /// As the kernel lane does: what would end earlier is prolonged, by more than a second.
    pub(super) fn teach(&mut self, elements: &[Lasting]) {
        for element in elements {
            let until = self.now + u64::try_from(element.left.as_millis().div_ceil(1000)).unwrap();
            let known = self.sets.entry((element.set, element.key)).or_insert(until);
            if *known + 1 < until || *known <= self.now {
                *known = until;
            }
        }
    }

    pub(super) fn reading(&mut self) -> Event {
        if !self.reads {
            return Event::SetsRead(None);
        }
        self.sets.retain(|_, until| *until > self.now);
        let wall = self.wall();
        let elements = self.sets.iter().map(|((set, key), until)| {
            let until = wall.after(Duration::from_secs(until - self.now));
            Element { set, key: *key, until }
        });
        (self.read, self.read_clock) = (self.now, self.clock);
        for open in self.model.open.values_mut() {
            (open.read, open.read_may) = (open.must, open.may);
        }
        Event::SetsRead(Some(elements.collect()))
    }

    pub(super) fn sets(&self) -> LearnedSets {
        let wall = self.wall();
        let there = self.sets.iter().filter(|(_, until)| **until > self.now);
        let elements = there.map(|((set, key), until)| {
            let until = wall.after(Duration::from_secs(until - self.now));
            Element { set, key: *key, until }
        });
        elements.collect()
    }

    /// How far the kernel accepts what an address sends to a service.
    pub(super) fn met(&self, at: usize, service: &str) -> Met {
        let (address, sets) = (address(at), self.sets());
        let answer = self.table.at(address);
        let service = Grant::parse(service).unwrap();
        let granting = answer.conditional().filter(|(_, grant)| service.is_within(grant));
        let met = granting.map(|(condition, _)| condition.met(address, &sets, self.wall()));
        met.max().unwrap_or(Met::No)
    }

    /// A packet is sent, which the kernel accepts or not.
    pub(super) fn send(&mut self, at: usize, packet: Packet) {
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
        let limit = conditional.idle.unwrap().as_secs();
        self.sets.insert((&LEASE, key), self.now + limit);
        if packet == Packet::Media {
            self.sets.insert((&IN_CALL, key), self.now + 60);
        }
        self.model.sent(at, packet, self.now);
    }

    /// Time passes while the daemon runs.
    pub(super) fn wait(&mut self, seconds: u64, sends: Option<(usize, Packet)>) {
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

    pub(super) fn take(&mut self, step: &Step) {
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

    pub(super) fn flush(&mut self) {
        self.lose(|open| open.read);
        if self.clock < self.read_clock {
            // What was read has an end that is far away, and is put back for its whole time.
            self.model.calls.values_mut().for_each(|(_, may)| *may = (*may).max(self.now + 60));
        }
        (self.table, self.sets) = (Kernel { table: None, is_behind: true }, BTreeMap::new());
        self.feed(Event::Tampered { by: "x".into(), found: "y".into() });
    }

    /// What the kernel had is lost, and is put back as far as it was known.
    pub(super) fn lose(&mut self, known: impl Fn(&Open) -> Moment) {
        for open in self.model.open.values_mut() {
            open.must = open.must.min(known(open));
            open.may = open.may.max(open.read_may);
        }
        self.model.calls.values_mut().for_each(|(must, _)| *must = 0);
    }

    /// The daemon is killed, and starts again after a while, in which packets may come.
    pub(super) fn restart(&mut self, seconds: u64, sends: Option<(usize, Packet)>) {
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

    pub(super) fn reboot(&mut self, file: File) {
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

    pub(super) fn start(&mut self, file: LearnedSets) {
        // What was not answered has not happened.
        (self.commit, self.asked, self.answered) = (None, BTreeMap::new(), BTreeMap::new());
        self.store = Store::Works;
        self.engine = Engine::new(self.disk.clone(), Config::default());
        self.engine.restore_learned(file);
        self.come_back();
        let longest = IDLES[IDLES.len() - 1];
        for open in self.model.open.values_mut() {
            // Until the next reading, what was saved is known, and when it was opened.
            open.read = open.read.min(open.saved.max(open.opened + open.idle));
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
    pub(super) fn come_back(&mut self) {
        let mut written = self.log.clone();
        self.model.ended.retain(|end| {
            let place = written.iter().position(|line| line == end);
            place.map(|place| written.remove(place)).is_some()
        });
        let there: Vec<_> = self.disk.leases.all.keys().map(place).collect();
        self.end_again(&there);
    }

    /// Leases that had ended are there again, because that could not be written down. They end once more.
    pub(super) fn end_again(&mut self, there: &[(usize, usize)]) {
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

    pub(super) fn set_clock(&mut self, jump: i64) {
        self.clock += jump;
        // Where it was set back, leases are examined that much later than it was intended. The kernel counts
        // by itself.
        let intended = self.model.open.values().map(|open| open.may.min(EVER / 2)).max();
        let intended = intended.unwrap_or(0).max(self.now);
        self.regular = self.regular.max(intended + u64::try_from(-jump).unwrap_or(0));
        for open in self.model.open.values_mut() {
            // Until the next reading, and in what is saved, ends are by the clock as it was.
            (open.read, open.saved, open.read_may) = (0, 0, EVER);
            open.end_must = open.end_must.saturating_sub(u64::try_from(jump).unwrap_or(0));
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
}
