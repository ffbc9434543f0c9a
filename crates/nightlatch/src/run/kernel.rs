//! The kernel lane: one thread with the one netlink socket, which does what the engine sends, in
//! order, and watches the table.
//!
//! What is urgent never waits for long: lists are exchanged in parts, and everything that was sent
//! meanwhile is done between them. While the lane has nothing to do, whoever brings something urgent does
//! it in its place, as waking a thread takes longer than a ban.

mod proof;

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nightlatch_core::action::{Apply, Deny, Load, Revision, Unlearn};
use nightlatch_core::cut::LiveFlow;
use nightlatch_core::event::Event;
use nightlatch_core::learned::{Lasting, SetSpec};
use nightlatch_core::ruleset::TABLE;
use nightlatch_netfilter::Change;
use nightlatch_parse::ranges::RangeList;

use crate::shell::clock::Stopwatch;
use crate::shell::firewall::{self, Exchange, Firewall, Sent};
use crate::shell::inbox::{Inbox, Message};
use crate::shell::{journal, lane, systemd};
use proof::Unanswered;

/// How often the lane looks for itself whether the table is whole.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How many changes by others may wait; the kernel says when it had to drop some.
const MAX_HEARD: usize = 256;

/// What the lane is asked to do.
#[derive(Debug)]
pub(super) enum Job {
    Apply(Box<Apply>),
    Load(Box<Load>),
    ExchangeLists {
        to: Revision,
        lists: Arc<RangeList>,
    },
    /// The exchange of lists for a revision was worked out.
    Prepared {
        to: Revision,
        exchange: Box<Exchange>,
    },
    TakeDown {
        to: Revision,
    },
    Cut(Vec<LiveFlow>),
    Teach(Vec<Lasting>),
    Unlearn(Unlearn),
    Deny(Box<Deny>),
    /// Something urgent waits.
    Urgent,
    ReadSets(Vec<&'static SetSpec>),
    ReadCounters,
    ReadHits,
    /// The container endpoints to which ports are published.
    Publish(BTreeSet<SocketAddr>),
    /// A program changed a ruleset of this network namespace.
    Heard(Change),
}

/// The way to the lane.
pub(super) struct Lane {
    jobs: Sender<Job>,
    pulse: Arc<Pulse>,
    urgent: Arc<Urgent>,
    worker: Arc<Mutex<Worker>>,
}

/// What goes ahead of all other jobs.
#[derive(Debug, Default)]
struct Urgent {
    waiting: Mutex<VecDeque<Deny>>,
    /// How many jobs wait, or are being done, that may change the same sets: what goes ahead of them is done
    /// once more behind them.
    before: AtomicUsize,
}

impl Urgent {
    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Deny>> {
        self.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Job {
    /// Whether it may change sets that follow from records.
    fn may_change_denied(&self) -> bool {
        matches!(self, Job::Load(_) | Job::TakeDown { .. } | Job::Deny(_))
    }
}

/// Shows that the lane gets on.
#[derive(Debug, Default)]
struct Pulse {
    /// Whether it does something.
    busy: AtomicBool,
    /// How many things it has done.
    done: AtomicU64,
}

impl Lane {
    /// Begins the lane.
    ///
    /// # Errors
    /// No netlink socket can be had to watch the kernel.
    pub(super) fn begin(
        mut firewall: Firewall,
        inbox: Inbox,
    ) -> Result<Lane, nightlatch_netfilter::NetlinkError> {
        let (jobs, waiting) = channel();
        let heard = Arc::new(AtomicUsize::new(0));
        let (to_lane, counter) = (jobs.clone(), Arc::clone(&heard));
        firewall::watch(&mut firewall, move |change| {
            while counter.load(Ordering::Relaxed) >= MAX_HEARD {
                std::thread::sleep(Duration::from_millis(1));
            }
            counter.fetch_add(1, Ordering::Relaxed);
            to_lane.send(Job::Heard(change)).is_ok()
        })?;
        let (pulse, urgent) = (Arc::new(Pulse::default()), Arc::new(Urgent::default()));
        let worker = Worker {
            urgent: Arc::clone(&urgent),
            firewall,
            inbox,
            heard,
            pulse: Arc::clone(&pulse),
            exchanges: VecDeque::new(),
            jobs: jobs.clone(),
            held: VecDeque::new(),
            unanswered: None,
            looked: Stopwatch::start(),
            look_every: systemd::watchdog_interval()
                .map_or(LOOK_INTERVAL, |it| it.min(LOOK_INTERVAL)),
        };
        let worker = Arc::new(Mutex::new(worker));
        let own = Arc::clone(&worker);
        lane::begin("kernel", move || work(&own, &waiting));
        Ok(Lane { jobs, pulse, urgent, worker })
    }

    /// Has the lane do something.
    pub(super) fn send(&self, job: Job) {
        if job.may_change_denied() {
            self.urgent.before.fetch_add(1, Ordering::Relaxed);
        }
        // It ends only with the program.
        let _ = self.jobs.send(job);
    }

    /// Has the lane change sets that follow from records: what is urgent, ahead of everything that waits.
    pub(super) fn deny(&self, deny: Box<Deny>) {
        if !deny.is_urgent {
            return self.send(Job::Deny(deny));
        }
        if self.urgent.before.load(Ordering::Relaxed) == 0 {
            self.urgent.waiting().push_back(*deny);
            // It wakes nobody, and counts as nothing that the lane did.
            return match self.worker.try_lock() {
                Ok(mut worker) => worker.deny_what_is_urgent(),
                Err(_) => self.send(Job::Urgent),
            };
        }
        // What waits may undo it. That it is answered, and whether it succeeded, is said behind that.
        self.urgent.waiting().push_back(Deny { to: 0, ..(*deny).clone() });
        self.send(Job::Urgent);
        self.send(Job::Deny(Box::new(again(*deny))));
    }

    /// Whether the lane does nothing, or has done something since the last question.
    pub(super) fn gets_on(&self, seen: &mut u64) -> bool {
        let done = self.pulse.done.load(Ordering::Relaxed);
        let moved = std::mem::replace(seen, done) != done;
        moved || !self.pulse.busy.load(Ordering::Relaxed)
    }
}

/// The same for what may have been done already.
fn again(deny: Deny) -> Deny {
    let there = deny.elements.iter().map(|it| (it.set, it.key));
    let stale = deny.stale.iter().copied().chain(there).collect();
    Deny { stale, ..deny }
}

/// The thread's own.
struct Worker {
    urgent: Arc<Urgent>,
    firewall: Firewall,
    inbox: Inbox,
    /// How many changes by others wait.
    heard: Arc<AtomicUsize>,
    pulse: Arc<Pulse>,
    /// The way for other threads to bring jobs.
    jobs: Sender<Job>,
    /// The lists that are being exchanged, and those that wait.
    exchanges: VecDeque<Exchanging>,
    /// What waits until it is certain that the kernel has the chains and rules that were loaded last.
    held: VecDeque<Job>,
    /// What loaded them, to be answered then.
    unanswered: Option<Unanswered>,
    looked: Stopwatch,
    look_every: Duration,
}

/// An exchange of lists, for a revision.
struct Exchanging {
    to: Revision,
    lists: Arc<RangeList>,
    stage: Stage,
}

/// How far an exchange is.
enum Stage {
    Waiting,
    /// What is to be sent is being worked out, in a thread of its own.
    BeingPrepared,
    Begun(Box<Exchange>),
}

/// What the thread does.
fn work(worker: &Mutex<Worker>, waiting: &Receiver<Job>) {
    let lock = || worker.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    loop {
        let (held, patience) = lock().next_held();
        let job = match (held, patience) {
            (Some(held), _) => Ok(held),
            (None, Some(patience)) => waiting.recv_timeout(patience),
            (None, None) => waiting.try_recv().map_err(|_| RecvTimeoutError::Timeout),
        };
        let mut worker = lock();
        worker.pulse.busy.store(true, Ordering::Relaxed);
        worker.deny_what_is_urgent();
        match job {
            Ok(job) => worker.take(job, waiting),
            Err(RecvTimeoutError::Timeout) => worker.exchange_part(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
        worker.look_if_due();
        worker.time_passed();
        worker.pulse.done.fetch_add(1, Ordering::Relaxed);
        worker.pulse.busy.store(false, Ordering::Relaxed);
    }
}

impl Worker {
    /// How long to wait for a job; not at all while lists are to be exchanged.
    fn patience(&self) -> Option<Duration> {
        let look = self.look_every.saturating_sub(self.looked.elapsed());
        let patience = self.firewall.patience(self.reports_are_suspended());
        let patience = patience.map_or(look, |patience| patience.min(look));
        let sends = self.exchanges.front();
        let sends = sends.is_some_and(|front| !matches!(front.stage, Stage::BeingPrepared));
        (!sends || self.unanswered.is_some()).then_some(patience)
    }

    /// Whether nobody listens to changes: while lists are sent.
    fn reports_are_suspended(&self) -> bool {
        !self.exchanges.is_empty()
    }

    fn tell(&self, event: Event) {
        let _ = self.inbox.send(Message::Happened(event));
    }

    /// Does what goes ahead of everything that waits.
    fn deny_what_is_urgent(&mut self) {
        loop {
            let Some(deny) = self.urgent.waiting().pop_front() else { return };
            let result = self.firewall.deny(&deny);
            if deny.to != 0 {
                self.tell(Event::Denied { to: deny.to, result });
            }
        }
    }

    fn take(&mut self, job: Job, waiting: &Receiver<Job>) {
        if self.unanswered.is_some() && job.can_wait() {
            return self.held.push_back(job);
        }
        let may_change_denied = job.may_change_denied();
        self.take_one(job, waiting);
        if may_change_denied {
            self.urgent.before.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn take_one(&mut self, job: Job, waiting: &Receiver<Job>) {
        match job {
            Job::Apply(apply) => self.apply(*apply, waiting),
            Job::Load(load) => self.load(*load),
            Job::ExchangeLists { to, lists } => {
                self.exchanges.push_back(Exchanging { to, lists, stage: Stage::Waiting });
            }
            Job::Prepared { to, exchange } => {
                // It may have been given up meanwhile.
                let front = self.exchanges.front_mut().filter(|front| front.to == to);
                if let Some(front) = front {
                    let begun = self.firewall.begin(&exchange);
                    front.stage = Stage::Begun(exchange);
                    if let Err(error) = begun {
                        self.end_exchange(Err(error));
                    }
                }
            }
            Job::TakeDown { to } => {
                self.exchanges.clear();
                let result = self.firewall.take_down();
                self.tell(Event::Applied { to, result });
            }
            Job::Cut(flows) => {
                let result = self.firewall.cut(&flows);
                self.tell(Event::FlowsCut(result));
            }
            Job::Teach(elements) => {
                let result = self.firewall.teach(&elements);
                self.tell(Event::Taught(result));
            }
            Job::Unlearn(unlearn) => {
                let result = self.firewall.unlearn(&unlearn);
                self.tell(Event::Unlearned(result));
            }
            Job::Deny(deny) => {
                let result = self.firewall.deny(&deny);
                self.tell(Event::Denied { to: deny.to, result });
            }
            Job::Urgent => {}
            Job::ReadSets(sets) => self.read_sets(&sets),
            Job::ReadCounters => {
                let dropped = self.firewall.dropped();
                let survives_reboot = systemd::boots_with_us();
                self.tell(Event::Counters { dropped, survives_reboot });
            }
            Job::ReadHits => {
                let hits = self.firewall.hits();
                self.tell(Event::Hits(hits));
            }
            Job::Publish(published) => {
                let result = self.firewall.publish(published);
                self.finish(Unanswered::Publish, result);
            }
            Job::Heard(change) => self.hear(&change),
        }
    }

    /// Applies a difference, together with all that wait directly behind it.
    fn apply(&mut self, mut apply: Apply, waiting: &Receiver<Job>) {
        let mut next = None;
        while let Some(job) = self.held.pop_front().or_else(|| waiting.try_recv().ok()) {
            match job {
                Job::Apply(more) if more.structure.is_none() && more.trial.is_none() => {
                    apply.to = more.to;
                    apply.delta.then(more.delta);
                }
                other => {
                    next = Some(other);
                    break;
                }
            }
        }
        let Apply { to, structure, trial, delta } = apply;
        let result = self.firewall.apply(structure, trial, &delta);
        self.finish(Unanswered::Apply { to }, result);
        match next {
            // Nothing that is held may overtake it.
            Some(next) if next.can_wait() => self.held.push_front(next),
            Some(next) => self.take(next, waiting),
            None => {}
        }
    }

    fn load(&mut self, load: Load) {
        let Load { to, table, structure, lists, trial, learned } = load;
        // What was being exchanged is loaded anew, or stands.
        self.exchanges.clear();
        match self.firewall.load(structure, table, &lists, trial, learned) {
            Ok(loaded) => self.finish(Unanswered::Load { to, lists, loaded }, Ok(())),
            Err(error) => self.tell(Event::Applied { to, result: Err(error) }),
        }
    }

    /// Sends the next part of the lists; nothing while it is not certain which rules the kernel has.
    fn exchange_part(&mut self) {
        if self.unanswered.is_some() {
            return;
        }
        let Worker { exchanges, firewall, jobs, .. } = self;
        let Some(Exchanging { to, lists, stage }) = exchanges.front_mut() else { return };
        let sent = match stage {
            Stage::BeingPrepared => return,
            Stage::Begun(exchange) => firewall.step(exchange),
            Stage::Waiting => firewall.prepare(lists).map(|preparation| {
                if let Some(preparation) = preparation {
                    *stage = Stage::BeingPrepared;
                    let (to, jobs) = (*to, jobs.clone());
                    std::thread::spawn(move || {
                        let exchange = Box::new(preparation.exchange());
                        let _ = jobs.send(Job::Prepared { to, exchange });
                    });
                }
                if matches!(stage, Stage::BeingPrepared) { Sent::Part } else { Sent::All }
            }),
        };
        match sent {
            Ok(Sent::PartBesideOthers) => {
                self.firewall.is_doubtful();
            }
            Ok(Sent::Part) => {}
            Ok(Sent::All) => self.finish(Unanswered::Exchange, Ok(())),
            Err(error) => self.end_exchange(Err(error)),
        }
    }

    fn end_exchange(&mut self, result: Result<(), String>) {
        if let Some(ended) = self.exchanges.pop_front() {
            self.tell(Event::ListsExchanged { to: ended.to, result });
        }
    }

    /// Reads what the kernel has learned; not if another program has just changed the table.
    fn read_sets(&mut self, sets: &[&'static SetSpec]) {
        let elements = match self.firewall.is_doubtful() {
            true => None,
            false => self.firewall.learned(sets).filter(|_| !self.firewall.is_doubtful()),
        };
        let _ = self.inbox.send(match elements {
            Some(elements) => Message::Learned(elements),
            None => Message::Happened(Event::SetsRead(None)),
        });
    }

    /// The kernel has told of a change.
    fn hear(&mut self, change: &Change) {
        self.heard.fetch_sub(1, Ordering::Relaxed);
        if !change.touches(TABLE) {
            // Container engines change tables of their own.
            let _ = self.inbox.send(Message::MayBePublished);
        }
        let followed = self.firewall.hear(change);
        self.follow(followed);
    }

    /// The regular look. The kernel reports the same change, and who made it: if the look came
    /// first, that report is waited for, so that the audit log names the program.
    fn look_if_due(&mut self) {
        if self.looked.elapsed() >= self.look_every {
            self.looked = Stopwatch::start();
            self.firewall.is_doubtful();
        }
    }
}

fn warn(what: &str, error: &str, then: &str) {
    journal::tell(nightlatch_core::action::Level::Warning, &format!("{what}: {error}{then}"));
}
