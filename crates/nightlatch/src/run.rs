//! The one event loop, and the lanes that do what the engine asks for.
//!
//! Requests, answers and deadlines come in one after the other; the engine says what to do; the loop
//! hands it to a lane and takes the next event. Only the kernel lane changes the kernel, only the
//! store lane the store, and nothing here waits for either.

mod disk;
mod flows;
pub(crate) mod in_process;
mod kernel;
mod peers;
mod restore;

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

use nightlatch_core::action::{Action, Level, Told};
use nightlatch_core::api::{Caller, Reply, Request};
use nightlatch_core::engine::Engine;
use nightlatch_core::event::{Event, Ticket};
use nightlatch_core::heard::Heard;

use crate::features::{self, boot, up};
use crate::shell::background::Background;
use crate::shell::beginnings::Beginnings;
use crate::shell::clock::{Clock, Stopwatch};
use crate::shell::firewall::Firewall;
use crate::shell::flows::TrackedFlows;
use crate::shell::inbox::{Inbox, Message};
use crate::shell::kept::Kept;
use crate::shell::lock::Lock;
use crate::shell::outcome::Failure;
use crate::shell::paths::Paths;
use crate::shell::store::{self, Store};
use crate::shell::{caller, configuration, journal, known_peers, server, systemd};
use crate::wording;
use disk::{FileJob, StoreJob};
use flows::FlowJob;
use kernel::{Job, Lane};

pub(crate) use peers::load_known_peers;
pub(crate) use restore::restore_lists;

/// The loop looks at the clock at least so often, and tells systemd that it lives.
const TICK: Duration = Duration::from_secs(5);
/// While something is about to end, how long the loop sleeps at most: the wall clock may jump.
const CLOCK_STEP: Duration = Duration::from_secs(1);
/// How often what listed addresses sent is read from the kernel.
const HITS_INTERVAL: Duration = Duration::from_secs(60);
/// How often the sets of learned state are read and saved: what the kernel learned since then is lost if
/// somebody flushes the table.
const SETS_INTERVAL: Duration = Duration::from_secs(10);
/// For how long the kernel lane may be busy with one thing before the watchdog is no longer told
/// that all is well.
const MAX_JOB_DURATION: Duration = Duration::from_secs(120);

/// Runs the daemon until it is killed. A daemon that ends, however, leaves the firewall standing.
///
/// # Errors
/// It cannot begin: another one runs, the configuration is bad, the database cannot be read. The
/// firewall is then left as it is.
pub fn daemon(paths: &Paths) -> Result<(), Failure> {
    let mut state = State::begin(paths)?;
    state.feed(Event::Started);
    state.run_until(|state| state.table_is_complete);
    server::start(paths, &state.inbox)?;
    systemd::notify("READY=1");
    journal::tell(Level::Info, "the daemon is ready");
    state.run_until(|_| false);
    Ok(())
}

/// Carries out one request here, where no daemon runs. With `takes_down` it takes the firewall off:
/// what the records know nothing of, as after their loss, goes too.
///
/// # Errors
/// As [`daemon`].
pub fn once(
    paths: &Paths,
    caller: Caller,
    request: Request,
    takes_down: bool,
) -> Result<Reply, Failure> {
    let mut state = State::begin(paths)?;
    if takes_down {
        state.feed(Event::Started);
    }
    let (reply_to, reply) = sync_channel(1);
    state.ask(caller, request, reply_to);
    let mut answer = None;
    state.run_until(|_| {
        answer = reply.try_recv().ok();
        answer.is_some()
    });
    answer.ok_or_else(|| Failure::failed("no reply received"))
}

struct State {
    engine: Engine,
    clock: Clock,
    paths: Paths,
    waiting: HashMap<Ticket, SyncSender<Reply>>,
    next_ticket: u64,
    /// The messages that wait, and the way for lanes and background work to bring more.
    messages: Receiver<Message>,
    inbox: Inbox,
    kernel: Lane,
    flows: Sender<FlowJob>,
    store: Sender<StoreJob>,
    files: Sender<FileJob>,
    background: Background,
    /// Whether the kernel has answered about the whole table since the start, lists included.
    table_is_complete: bool,
    copies: boot::Copying,
    hits_read: Stopwatch,
    sets_read: Stopwatch,
    /// When the published ports were last looked up.
    published_read: Option<Stopwatch>,
    published_wanted: bool,
    beginnings_asked: Option<Stopwatch>,
    /// When systemd was last told that we live.
    told: Stopwatch,
    /// Since when the kernel lane is at the same thing, and what it had done then.
    stuck: Option<Stopwatch>,
    kernel_done: u64,
    _lock: Lock,
}

impl State {
    fn begin(paths: &Paths) -> Result<State, Failure> {
        caller::require_root()?;
        store::make_folder(&paths.state_dir)?;
        let lock = Lock::take(paths)?;
        let config = configuration::read(&paths.config)?;
        let store = Store::open(paths)?;
        let records = store.state()?;
        let clock = Clock::not_before(store.last_written());
        boot::keep_configuration(&store, &paths.config);
        let kept = Kept::of(paths);
        let mut engine = Engine::new(records, config);
        restore_lists(&mut engine, &kept, clock.now());
        let firewall = Firewall::open().map_err(Failure::failed)?;
        let mut firewall = firewall.noting_in(paths.lists_stand());
        let saved = known_peers::Saved::of(paths);
        peers::recall(&mut engine, &mut firewall, &saved, &clock);
        // What was counted before is told already.
        let _ = firewall.hits();
        let (inbox, messages) = channel();
        let beginnings = Beginnings::load(paths.beginnings());
        let tracked = TrackedFlows::open().map_err(Failure::failed)?;
        let kernel = Lane::begin(firewall, inbox.clone()).map_err(Failure::failed)?;
        let (copies, copying) = boot::copies(paths);
        let files = disk::begin_files(kept, saved, copies, inbox.clone());
        Ok(State {
            engine,
            clock,
            paths: paths.clone(),
            waiting: HashMap::new(),
            next_ticket: 0,
            kernel,
            flows: flows::begin(tracked, beginnings, inbox.clone()),
            store: disk::begin_store(store, paths, inbox.clone()),
            background: background(inbox.clone(), paths, files.clone()),
            files,
            messages,
            inbox,
            table_is_complete: false,
            copies: copying,
            hits_read: Stopwatch::start(),
            sets_read: Stopwatch::start(),
            published_read: None,
            published_wanted: true,
            beginnings_asked: None,
            told: Stopwatch::start(),
            stuck: None,
            kernel_done: 0,
            _lock: lock,
        })
    }

    /// Takes one message after the other until something is so.
    fn run_until(&mut self, mut stop: impl FnMut(&State) -> bool) {
        let tick = systemd::watchdog_interval().map_or(TICK, |every| every.min(TICK));
        while !stop(self) {
            match self.messages.recv_timeout(self.patience(tick)) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.do_what_is_due();
            if self.told.elapsed() >= tick / 2 && self.kernel_gets_on() {
                self.told = Stopwatch::start();
                systemd::notify(match self.table_is_complete {
                    true => "WATCHDOG=1",
                    // Very long lists on a busy machine.
                    false => "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=30000000",
                });
            }
        }
    }

    fn do_what_is_due(&mut self) {
        while self.engine.next_deadline().is_some_and(|at| at <= self.clock.now()) {
            let actions = self.engine.handle_timeout(self.clock.now());
            if actions.is_empty() {
                break;
            }
            self.execute(actions);
        }
        let stands = self.engine.state().posture().stands();
        if self.hits_read.elapsed() >= HITS_INTERVAL {
            self.hits_read = Stopwatch::start();
            if !self.engine.state().feeds.all.is_empty() {
                self.kernel.send(Job::ReadHits);
            }
        }
        if stands && self.sets_read.elapsed() >= SETS_INTERVAL {
            self.sets_read = Stopwatch::start();
            let read = self.engine.read_all_sets();
            self.execute(vec![read]);
        }
        if stands && self.published_wanted {
            self.look_up_published();
        }
        if self.beginnings_asked.is_none_or(|asked| asked.elapsed() >= TICK) {
            self.beginnings_asked = Some(Stopwatch::start());
            let _ = self.flows.send(FlowJob::RememberBeginnings(self.engine.catalogue()));
        }
        if let Some(copy) = self.copies.due(&self.engine) {
            let _ = self.files.send(FileJob::Copy(copy));
        }
    }

    /// Whether the kernel lane gets on: a kernel that does not answer must not look healthy.
    fn kernel_gets_on(&mut self) -> bool {
        if self.kernel.gets_on(&mut self.kernel_done) {
            self.stuck = None;
            return true;
        }
        self.stuck.get_or_insert_with(Stopwatch::start).elapsed() < MAX_JOB_DURATION
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Asked { caller, request, reply_to } => self.ask(caller, request, reply_to),
            Message::Happened(event) => {
                let stands = self.engine.state().posture().stands();
                self.table_is_complete |= match &event {
                    Event::ListsExchanged { .. } => true,
                    Event::Applied { result, .. } => result.is_err() || !stands,
                    _ => false,
                };
                self.feed(event);
            }
            Message::Learned(elements) => {
                let now = self.clock.now();
                let elements = elements.iter().map(|element| element.until(now)).collect();
                self.feed(Event::SetsRead(Some(elements)));
            }
            Message::MayBePublished => self.published_wanted = true,
            Message::Published(published) => self.kernel.send(Job::Publish(published)),
        }
    }

    fn ask(&mut self, caller: Caller, mut request: Request, reply_to: SyncSender<Reply>) {
        if let Request::Do(ask) = &mut request {
            ask.requests.iter_mut().for_each(features::complete);
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert(ticket, reply_to);
        self.feed(Event::Asked { ticket, caller, request });
    }

    /// How long to wait for a message: until the next deadline, and never so long that a jump of
    /// the wall clock would pass unnoticed.
    fn patience(&self, tick: Duration) -> Duration {
        match self.engine.next_deadline() {
            Some(deadline) => deadline.since(self.clock.now()).min(CLOCK_STEP).min(tick),
            None => tick,
        }
    }

    fn feed(&mut self, event: Event) {
        let actions = self.engine.handle(event, self.clock.now());
        self.execute(actions);
    }

    /// Hands actions to their lanes. Nothing here waits.
    fn execute(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Commit { changes, records } => {
                    let now = self.clock.now();
                    let _ = self.store.send(StoreJob::Commit { changes, records, now });
                }
                Action::Apply(apply) => self.kernel.send(Job::Apply(apply)),
                Action::Load(load) => self.kernel.send(Job::Load(load)),
                Action::ExchangeLists { to, lists } => {
                    self.kernel.send(Job::ExchangeLists { to, lists });
                }
                Action::TakeDown { to } => self.kernel.send(Job::TakeDown { to }),
                Action::ListFlows { catalogue, .. } => {
                    let _ = self.flows.send(FlowJob::List(catalogue));
                }
                Action::Cut(flows) => self.kernel.send(Job::Cut(flows)),
                Action::Teach(elements) => self.kernel.send(Job::Teach(elements)),
                Action::Unlearn(unlearn) => self.kernel.send(Job::Unlearn(unlearn)),
                Action::Deny(deny) => self.kernel.deny(deny),
                Action::ReadSets(sets) => self.kernel.send(Job::ReadSets(sets)),
                Action::ReadCounters => {
                    self.engine.note(features::progress(&self.background), self.clock.now());
                    self.kernel.send(Job::ReadCounters);
                }
                Action::ReadHits => {
                    self.engine.note(features::progress(&self.background), self.clock.now());
                    self.hits_read = Stopwatch::start();
                    self.kernel.send(Job::ReadHits);
                }
                Action::SaveLearned(sets) => {
                    let now = self.clock.now();
                    let _ = self.files.send(FileJob::SaveLearned(sets, now));
                }
                Action::Run(job) => features::run(job, &self.background),
                Action::Reply(ticket, reply) => self.reply(ticket, reply),
                Action::ReadConfiguration(ticket, caller) => {
                    let config = configuration::read(&self.paths.config);
                    if config.is_ok() {
                        let _ = self.store.send(StoreJob::KeepConfiguration);
                    }
                    let config = config.map_err(|failure| failure.message);
                    self.feed(Event::Configured { ticket, caller, config });
                }
                Action::Tell(told) => self.tell(&told),
            }
        }
    }

    /// Writes something into the journal. What the administrator must hear goes to the features too, with
    /// its sentence.
    fn tell(&mut self, told: &Told) {
        let Some(message) = wording::told(told) else { return };
        journal::tell(told.level(), &message);
        if let Some((feature, topic)) = told.topic() {
            let (level, at) = (told.level(), self.clock.now());
            self.feed(Event::Heard(Heard { feature, topic, level, message, at }));
        }
    }

    /// Looks up in the background to which containers ports are published, unless done recently.
    fn look_up_published(&mut self) {
        if self.published_read.is_some_and(|read| read.elapsed() < peers::PUBLISHED_MIN_INTERVAL) {
            return;
        }
        self.published_read = Some(Stopwatch::start());
        self.published_wanted = false;
        up::survey::published_in_background(self.inbox.clone());
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply) {
        if let Some(reply_to) = self.waiting.remove(&ticket) {
            // The client may have disconnected; the change is applied anyway.
            let _ = reply_to.try_send(reply);
        }
    }
}

/// What features have for their background work: lists are kept by the files lane.
fn background(inbox: Inbox, paths: &Paths, files: Sender<FileJob>) -> Background {
    // The lane ends only with the program.
    Background::new(inbox, paths.clone(), move |work| drop(files.send(FileJob::WithKept(work))))
}
