//! The thread that reads logs. Only its findings are sent to the loop, never the lines.

mod ami;
mod file;
mod gather;
mod installed;
mod journal;
mod live;
mod login;
mod managers;
mod notify;
pub(super) mod replay;
mod rotated;
mod saved;
mod shown;
mod source;
pub(super) mod summed;
mod system;
#[cfg(test)]
mod tests;
pub(super) mod viewing;

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nightlatch_core::detect::{Judge, Settings};
use nightlatch_core::features::watch::{
    Blind, Config, Event, Job, Moments, Notice, Standing, Unreadable,
};
use nightlatch_core::time::Time;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::rand::{GetRandomFlags, getrandom};

use super::intake::Intake;
use super::trust::Trusted;
use crate::shell::background::Background;
use crate::shell::busy::Busy;
use crate::shell::clock::{Clock, Stopwatch};
use crate::shell::paths::Paths;
use crate::shell::wake::Waker;
use crate::shell::{hours, lane};
use installed::Installed;
use journal::Journal;
use live::Live;
use managers::{Managers, Moment};
use notify::{Notifier, Seen};
use saved::{Saver, Snapshot};
use source::{Begin, FileSource};

/// How often the read positions are saved, if anything was read.
const KEEP_INTERVAL: Duration = Duration::from_secs(1);
/// How often changes are looked for that inotify does not report.
const TEND_INTERVAL: Duration = Duration::from_secs(10);
/// How often it is checked whether other programs or logs were installed.
const FIND_INTERVAL: Duration = Duration::from_secs(20);
/// How often the status is updated while it changes all the time.
const SHOW_INTERVAL: Duration = Duration::from_millis(50);
/// Under load, lines are collected for this time before they are read.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
/// The most events that are sent but not decided yet. Beyond this, reading pauses, and the lines stay in their
/// logs.
const MAX_AHEAD: u64 = 256;

/// The way to the thread.
pub(super) struct Reader {
    orders: Mutex<Sender<Order>>,
    waker: Waker,
    standing: Arc<Mutex<Standing>>,
    is_ahead: Arc<AtomicBool>,
}

enum Order {
    Do(Job),
    /// Whether a snapshot could be written.
    Kept(Result<(), String>),
}

impl Reader {
    /// Begins the thread.
    pub(super) fn begin(background: &Background) -> Option<Reader> {
        let (orders, ordered) = channel();
        let waker = Waker::new().ok()?;
        let standing = Arc::<Mutex<Standing>>::default();
        let tell = background.teller();
        let told = (orders.clone(), waker.clone());
        let is_ahead = Arc::<AtomicBool>::default();
        let (paths, waking) = (background.paths.clone(), waker.clone());
        let (shared, ahead) = (Arc::clone(&standing), Arc::clone(&is_ahead));
        lane::begin("watch", move || {
            if let Some(thread) = Thread::new(paths, ordered, waking, told, shared, Box::new(tell))
            {
                thread.run(&ahead);
            }
        });
        Some(Reader { orders: Mutex::new(orders), waker, standing, is_ahead })
    }

    pub(super) fn take(&self, job: Job) {
        // It is woken only for what it waits for.
        let is_decided = matches!(job, Job::Decided(_));
        let orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = orders.send(Order::Do(job));
        drop(orders);
        if !is_decided || self.is_ahead.load(Ordering::SeqCst) {
            self.waker.wake();
        }
    }

    /// The status of all sources.
    pub(super) fn standing(&self) -> Standing {
        lock(&self.standing).clone()
    }
}

/// A secret that nobody can guess; all zero where the kernel gives none.
fn random() -> [u8; 16] {
    let mut seed = [0; 16];
    let _ = getrandom(&mut seed, GetRandomFlags::empty());
    seed
}

fn lock(standing: &Mutex<Standing>) -> MutexGuard<'_, Standing> {
    standing.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Thread {
    paths: Paths,
    orders: Receiver<Order>,
    waker: Waker,
    tell: Box<dyn Fn(Event) + Send>,
    shared: Arc<Mutex<Standing>>,
    clock: Clock,
    /// Since this thread began.
    running: Stopwatch,
    notifier: Notifier,
    trusted: Trusted,
    sources: Vec<FileSource>,
    journal: Journal,
    managers: Managers,
    superseded: Vec<(String, String)>,
    /// What the configuration says, once it is known.
    config: Option<Config>,
    installed: Installed,
    found: Stopwatch,
    blind: Vec<Blind>,
    live: Live,
    intake: Intake,
    buffer: Vec<u8>,
    saver: Option<Saver>,
    /// What was kept of logs that are not read by now.
    kept: BTreeMap<String, Vec<file::Position>>,
    kept_until: Time,
    /// The number of the last event with findings, of the last one that is decided, and of the last one that is
    /// written down.
    handed_over: u64,
    decided: u64,
    taken: u64,
    /// What is to be kept once that is so for all events up to the number.
    snapshot: Option<(u64, Snapshot)>,
    has_changed: bool,
    kept_at: Stopwatch,
    tended: Stopwatch,
    keeping_fails: bool,
    /// When the standing was last shown, and whether it is as shown.
    shown: Stopwatch,
    is_shown: bool,
    busy: Busy,
    /// When it was last looked which files were written.
    looked: Time,
}

impl Thread {
    fn new(
        paths: Paths,
        orders: Receiver<Order>,
        waker: Waker,
        told: (Sender<Order>, Waker),
        shared: Arc<Mutex<Standing>>,
        tell: Box<dyn Fn(Event) + Send>,
    ) -> Option<Thread> {
        let notifier = match Notifier::new() {
            Ok(notifier) => notifier,
            Err(errno) => {
                let why = Unreadable::Failed { error: format!("inotify: {errno}") };
                tell(Event::Told(Box::new(Notice::NotRead { log: "*".to_owned(), why })));
                return None;
            }
        };
        let (zone, zone_file) = hours::zone_of_logs();
        let seed = random();
        let mut judge = Judge::new(Settings::default(), seed);
        let kept = move |result| {
            let (orders, waker) = &told;
            let _ = orders.send(Order::Kept(result));
            waker.wake();
        };
        let (saver, snapshot) = match Saver::begin(&paths.watch_database(), kept) {
            Ok((saver, snapshot)) => (Some(saver), snapshot),
            Err(error) => {
                tell(Event::Told(Box::new(Notice::NotKept { error })));
                (None, Snapshot::default())
            }
        };
        let rows = snapshot.judged.rows.iter();
        let _ = judge.load(rows.map(|(key, body)| (key.as_slice(), body.as_slice())));
        let hours = snapshot.judged.hours.iter();
        judge.load_hours(hours.filter_map(|(number, body)| Some((*number, body.as_deref()?))));
        let clock = Clock::not_before(Time::default());
        let looked = clock.now();
        // Without it, only nobody can look on.
        let live = Live::begin(&paths.watch_socket()).unwrap_or_default();
        let left_at = snapshot.read_until;
        Some(Thread {
            paths,
            orders,
            waker,
            tell,
            shared,
            clock,
            running: Stopwatch::start(),
            notifier,
            trusted: system::trusted(),
            sources: Vec::new(),
            journal: Journal::new(Vec::new(), snapshot.cursor, left_at, looked),
            managers: Managers::default(),
            superseded: Vec::new(),
            config: None,
            installed: Installed::default(),
            found: Stopwatch::start(),
            blind: Vec::new(),
            live,
            intake: Intake {
                judge,
                moments: Moments::of(&zone, &zone_file),
                found: Vec::new(),
                not_before: Time::default(),
                runs: Some(system::runs),
                last_thread: None,
            },
            buffer: file::buffer(),
            saver,
            kept: snapshot.positions,
            kept_until: snapshot.read_until,
            handed_over: 0,
            decided: 0,
            taken: 0,
            snapshot: None,
            has_changed: false,
            kept_at: Stopwatch::start(),
            tended: Stopwatch::start(),
            keeping_fails: false,
            shown: Stopwatch::start(),
            is_shown: false,
            busy: Busy::new(BUSY_PAUSE),
            looked,
        })
    }

    fn run(mut self, is_ahead: &AtomicBool) {
        loop {
            self.take_orders();
            let mut waits = self.is_ahead();
            is_ahead.store(waits, Ordering::SeqCst);
            if waits {
                // What was decided before it said that it waits.
                self.take_orders();
                waits = self.is_ahead();
            }
            self.look();
            let more = !waits && self.read();
            self.hand_over();
            self.keep();
            self.tend();
            self.show();
            if !more {
                self.wait();
            }
        }
    }

    /// Whether more is handed over than should be before it is decided.
    fn is_ahead(&self) -> bool {
        self.handed_over.saturating_sub(self.decided) >= MAX_AHEAD
    }

    fn take_orders(&mut self) {
        while let Ok(order) = self.orders.try_recv() {
            match order {
                Order::Do(Job::Read(config)) => self.configure(&config),
                Order::Do(Job::Decided(number)) => self.decided = self.decided.max(number),
                Order::Do(Job::Taken(number)) => self.taken = self.taken.max(number),
                Order::Kept(Ok(())) => self.keeping_fails = false,
                Order::Kept(Err(error)) => {
                    self.intake.judge.unsaved();
                    self.has_changed = true;
                    if !self.keeping_fails {
                        self.keeping_fails = true;
                        (self.tell)(Event::Told(Box::new(Notice::NotKept { error })));
                    }
                }
            }
        }
    }

    /// Follows what the configuration says and what is found, each log where it was left.
    fn configure(&mut self, config: &Config) {
        let now = self.clock.now();
        self.intake.judge.configure((*config.attempts).clone());
        for mut source in std::mem::take(&mut self.sources) {
            self.kept.insert(source.lines.log.clone(), source.positions());
            self.kept_until = self.kept_until.max(source.read_until(self.looked));
            source.close(&self.notifier);
        }
        let _ = self.installed.has_changed(&self.paths);
        let mut gathered = gather::all(&self.paths, config);
        if self.config.replace(config.clone()).is_some() {
            self.journal.mark_added(&mut gathered.journal, now);
        }
        self.tell_all(gathered.notices);
        self.superseded = gathered.superseded;
        for mut source in gathered.files {
            let left = self.kept.remove(&source.lines.log).unwrap_or_default();
            let notice = source.begin(&left, self.kept_until, &self.notifier, now);
            source.tend(&self.notifier, &self.trusted);
            self.sources.push(source);
            self.tell_all(notice);
        }
        self.kept.clear();
        let cursor = self.journal.cursor.take();
        self.journal = Journal::new(gathered.journal, cursor, self.kept_until, now);
        self.managers.listen_to(gathered.managers, self.moment(now));
        self.blind = system::blind(&self.paths);
        // Where nothing is read, nothing is kept.
        self.has_changed =
            !self.sources.is_empty() || self.journal.is_to_begin() || !self.managers.is_empty();
    }

    fn moment(&self, time: Time) -> Moment {
        Moment { time, count: self.running.elapsed() }
    }

    fn tell_all(&self, notices: impl IntoIterator<Item = Notice>) {
        notices.into_iter().for_each(|notice| (self.tell)(Event::Told(Box::new(notice))));
    }

    /// Looks what was written and renamed since the last time.
    fn look(&mut self) {
        // What is seen now was written after it was last looked, and what is seen next after this.
        self.looked = self.clock.now();
        let now = self.looked;
        let mut renamed = Vec::new();
        let Thread { notifier, sources, .. } = self;
        notifier.drain(|seen| match seen {
            Seen::Written(file) => sources.iter_mut().for_each(|it| it.written(file, now)),
            seen => renamed.push(seen),
        });
        let mut notices = Vec::new();
        for seen in renamed {
            for source in &mut self.sources {
                let is_concerned = if let Seen::Renamed(folder, name) = &seen {
                    let is_concerned = source.concerns(*folder, name.as_deref());
                    if name.is_none() {
                        source.forget_folder(*folder);
                    }
                    is_concerned
                } else {
                    source.touch(now);
                    true
                };
                if is_concerned {
                    notices.extend(source.look(Begin::Beginning, &self.notifier, now));
                    source.tend(&self.notifier, &self.trusted);
                }
            }
        }
        self.tell_all(notices);
    }

    /// Reads a block of each log that may have more. Tells whether one has.
    fn read(&mut self) -> bool {
        let now = self.clock.now();
        let moment = self.moment(now);
        let mut notices = Vec::new();
        for source in self.sources.iter_mut().filter(|source| source.is_dirty()) {
            self.has_changed = true;
            let (intake, notifier) = (&mut self.intake, &self.notifier);
            let live = &mut self.live;
            notices.extend(source.read(&mut self.buffer, now, intake, notifier, live));
        }
        let (intake, live) = (&mut self.intake, &mut self.live);
        let (has_read, more, notice) = self.journal.read(&mut self.buffer, now, intake, live);
        let managers = self.managers.read(&self.paths, &mut self.buffer, moment, intake, live);
        self.has_changed |= has_read || managers.has_read;
        notices.extend(notice);
        notices.extend(managers.notices);
        self.tell_all(notices);
        more || managers.more || self.sources.iter().any(FileSource::is_dirty)
    }

    fn hand_over(&mut self) {
        if self.intake.found.is_empty() {
            return;
        }
        self.handed_over += 1;
        let findings = std::mem::take(&mut self.intake.found);
        (self.tell)(Event::Found { number: self.handed_over, findings });
    }

    /// Keeps how far was read, once all that was found out before has taken effect.
    fn keep(&mut self) {
        if let Some((_, snapshot)) = self.snapshot.take_if(|(number, _)| *number <= self.taken) {
            let back = self.saver.as_ref().and_then(|saver| saver.keep(snapshot));
            self.snapshot = back.map(|snapshot| (self.taken, snapshot));
        }
        let is_due = self.has_changed
            && self.snapshot.is_none()
            && self.kept_at.elapsed() >= KEEP_INTERVAL
            && !self.sources.iter().any(FileSource::is_in_past);
        if !is_due {
            return;
        }
        self.intake.judge.pass(self.clock.now(), &mut self.intake.found);
        self.hand_over();
        self.kept_at = Stopwatch::start();
        self.has_changed = false;
        let positions = self.sources.iter().map(|it| (it.lines.log.clone(), it.positions()));
        let read_until = self.sources.iter().map(|it| it.read_until(self.looked));
        let snapshot = Snapshot {
            positions: positions.collect(),
            cursor: self.journal.cursor.clone(),
            read_until: read_until.fold(self.looked, Time::min),
            judged: self.intake.judge.save(),
        };
        self.snapshot = Some((self.handed_over, snapshot));
        self.keep();
    }

    fn tend(&mut self) {
        if self.journal.is_to_begin() {
            let notice = self.journal.tend();
            self.tell_all(notice);
        }
        if self.tended.elapsed() < TEND_INTERVAL {
            return;
        }
        if self.found.elapsed() >= FIND_INTERVAL {
            self.find();
        }
        self.blind = system::blind(&self.paths);
        self.tended = Stopwatch::start();
        let now = self.clock.now();
        self.intake.judge.pass(now, &mut self.intake.found);
        self.hand_over();
        let mut notices = Vec::new();
        for source in &mut self.sources {
            notices.extend(source.look(Begin::Beginning, &self.notifier, now));
            source.tend(&self.notifier, &self.trusted);
        }
        self.tell_all(notices);
    }

    /// Waits until something happens, or something is due.
    fn wait(&mut self) {
        let due = match self.has_changed && self.snapshot.is_none() {
            true => KEEP_INTERVAL.saturating_sub(self.kept_at.elapsed()),
            false => TEND_INTERVAL.saturating_sub(self.tended.elapsed()),
        };
        let due = match self.journal.is_to_begin() {
            true => due.min(self.journal.pause_left()),
            false => due,
        };
        let due = due.min(self.managers.due(self.running.elapsed()));
        let due = if self.is_shown { due } else { due.min(SHOW_INTERVAL) };
        let due = due.max(Duration::from_millis(10));
        let Ok(timeout) = Timespec::try_from(due) else { return };
        let notifier = self.notifier.as_fd();
        let mut watched = vec![
            PollFd::from_borrowed_fd(notifier, PollFlags::IN),
            PollFd::new(&self.waker, PollFlags::IN),
        ];
        let journal = self.journal.output();
        watched.extend(journal.map(|it| PollFd::from_borrowed_fd(it, PollFlags::IN)));
        watched.extend(self.managers.wait_for());
        let _ = poll(&mut watched, Some(&timeout));
        self.waker.clear();
        self.busy.pause();
    }
}
