//! The one event loop.
//!
//! Requests, reports of the kernel and deadlines come in one after the other; the engine says what
//! to do; this loop does it. Nothing else changes the store or the kernel.

mod peers;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use nightlatch_core::action::{Action, Content, Flows, Level, Project};
use nightlatch_core::api::{Caller, Reply, Request};
use nightlatch_core::engine::Engine;
use nightlatch_core::event::{Event, Ticket};
use nightlatch_core::ruleset::TABLE;
use nightlatch_netfilter::Change;

use crate::features::{boot, countries, feeds};
use crate::shell::beginnings::Beginnings;
use crate::shell::clock::{Clock, Stopwatch};
use crate::shell::cuts;
use crate::shell::firewall::{self, Firewall, Seen};
use crate::shell::kept::Kept;
use crate::shell::lock::Lock;
use crate::shell::outcome::Failure;
use crate::shell::paths::Paths;
use crate::shell::store::{self, Store};
use crate::shell::{caller, configuration, journal, known_peers, pbx_peers, server, systemd};

pub(crate) use peers::load_known_peers;

/// How many messages may wait for the loop; who brings more has to wait.
const INBOX: usize = 256;
/// How often the loop looks for itself whether the table is whole.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long the kernel's word of a change, which names the program, is waited for where the loop
/// has seen the change before it came.
const HEARSAY: Duration = Duration::from_millis(300);
/// While something is about to end, how long the loop sleeps at most: the wall clock may jump.
const CLOCK_STEP: Duration = Duration::from_secs(1);
/// How often what listed addresses sent is read from the kernel.
const HITS_EVERY: Duration = Duration::from_secs(60);

/// How often the peers that the kernel has learned are read and saved: what it learned since then is
/// lost if somebody flushes the table.
const PEERS_INTERVAL: Duration = Duration::from_secs(10);
/// How old they may be in a reply.
const PEERS_MAX_AGE: Duration = Duration::from_millis(500);

/// What reaches the loop.
#[derive(Debug)]
pub enum Message {
    /// Somebody asks for something.
    Asked {
        /// Who.
        caller: Caller,
        /// For what.
        request: Request,
        /// Where the reply goes.
        reply_to: SyncSender<Reply>,
    },
    /// Something went on in the background.
    Happened(Event),
    /// A program changed a ruleset of this network namespace.
    RulesetChanged(Change),
    /// The container endpoints to which ports of this host are published.
    Published(BTreeSet<SocketAddr>),
}

/// Runs the daemon until it is killed. A daemon that ends, however, leaves the firewall standing.
///
/// # Errors
/// It cannot begin: another one runs, the configuration is bad, the database cannot be read. The
/// firewall is then left as it is.
pub fn daemon(paths: &Paths) -> Result<(), Failure> {
    let mut state = State::begin(paths)?;
    let (sender, inbox) = sync_channel(INBOX);
    state.inbox = Some(sender.clone());
    // First watch, then look: what changes in between is reported.
    firewall::watch(&mut state.firewall, sender.clone()).map_err(Failure::failed)?;
    // A table that lets everything through guarded nothing.
    let stood = matches!(state.firewall.seen(), Some(Seen::Stands | Seen::OnTrial));
    state.read_hits();
    state.recall_peers(stood);
    state.feed(Event::Started);
    server::start(paths, &sender)?;
    systemd::notify("READY=1");
    journal::tell(Level::Info, "the daemon is ready");
    state.run(&inbox);
    Ok(())
}

/// Carries out one request here, where no daemon runs.
///
/// # Errors
/// As [`daemon`].
pub fn once(paths: &Paths, caller: Caller, request: Request) -> Result<Reply, Failure> {
    let mut state = State::begin(paths)?;
    if request == Request::Down {
        // What the ledger knows nothing of, as after its loss, goes too.
        state.feed(Event::Started);
    }
    let (reply_to, reply) = sync_channel(1);
    state.ask(caller, request, reply_to);
    reply.try_recv().map_err(|_| Failure::failed("no answer came"))
}

struct State {
    engine: Engine,
    store: Store,
    firewall: Firewall,
    clock: Clock,
    paths: Paths,
    waiting: HashMap<Ticket, SyncSender<Reply>>,
    next_ticket: u64,
    snapshot: boot::Snapshots,
    kept: Kept,
    /// How much has arrived of the feeds that are being fetched.
    arriving: feeds::io::Arriving,
    hits_read: Stopwatch,
    known_peers: known_peers::Saved,
    peers_read: Stopwatch,
    /// When the published ports were last looked up.
    published_read: Option<Stopwatch>,
    published_wanted: bool,
    beginnings: Beginnings,
    /// The way from background work to the loop.
    inbox: Option<SyncSender<Message>>,
    _lock: Lock,
}

impl State {
    fn begin(paths: &Paths) -> Result<State, Failure> {
        caller::require_root()?;
        store::make_folder(&paths.state_dir)?;
        let lock = Lock::take(paths)?;
        let rules = configuration::read(&paths.config)?;
        let store = Store::open(paths)?;
        let ledger = store.ledger()?;
        let clock = Clock::not_before(store.last_written());
        boot::keep_configuration(&store, &paths.config);
        let kept = Kept::of(paths);
        let mut engine = Engine::new(ledger, rules);
        restore_lists(&mut engine, &kept);
        Ok(State {
            engine,
            firewall: Firewall::open().map_err(Failure::failed)?.noting_in(paths.lists_stand()),
            clock,
            store,
            paths: paths.clone(),
            waiting: HashMap::new(),
            next_ticket: 0,
            snapshot: boot::Snapshots::new(paths),
            kept,
            arriving: feeds::io::Arriving::default(),
            hits_read: Stopwatch::start(),
            known_peers: known_peers::Saved::of(paths),
            peers_read: Stopwatch::start(),
            published_read: None,
            published_wanted: true,
            beginnings: Beginnings::load(paths.beginnings()),
            inbox: None,
            _lock: lock,
        })
    }

    fn run(&mut self, inbox: &Receiver<Message>) {
        let tick = systemd::watchdog_interval().map_or(LOOK_EVERY, |every| every.min(LOOK_EVERY));
        let mut looked = Stopwatch::start();
        loop {
            match inbox.recv_timeout(self.patience(tick)) {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // However busy the inbox is.
            if looked.elapsed() >= tick {
                looked = Stopwatch::start();
                self.look_for_ourselves(inbox);
            }
            while self.engine.next_deadline().is_some_and(|at| at <= self.clock.now()) {
                let actions = self.engine.handle_timeout(self.clock.now());
                if actions.is_empty() {
                    break;
                }
                self.execute(actions);
            }
            if self.hits_read.elapsed() >= HITS_EVERY {
                self.read_hits();
            }
            if self.peers_read.elapsed() >= PEERS_INTERVAL {
                self.read_peers();
            }
            if self.published_wanted && self.engine.ledger().protection.stands() {
                self.look_up_published();
            }
            if self.beginnings.is_due() {
                self.remember_beginnings();
            }
            self.snapshot.keep(&self.engine, self.clock.now());
            systemd::notify("WATCHDOG=1");
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Asked { caller, request, reply_to } => self.ask(caller, request, reply_to),
            Message::Happened(event) => self.feed(event),
            Message::RulesetChanged(change) => {
                // Container engines change tables of their own.
                self.published_wanted |= !change.touches(TABLE);
                self.look(Some(&change));
            }
            Message::Published(published) => self.publish(published),
        }
    }

    fn ask(&mut self, caller: Caller, request: Request, reply_to: SyncSender<Reply>) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.waiting.insert(ticket, reply_to);
        match request {
            Request::FeedList => self.read_hits(),
            // The decision depends on what the kernel has learned by now.
            Request::Remove { .. }
            | Request::Block(_)
            | Request::Mode { .. }
            | Request::Up(_)
            | Request::ForgetPeer { .. } => self.read_peers(),
            // The reply shows it, and clients may ask often.
            Request::Why { .. } | Request::Status if self.peers_read.elapsed() >= PEERS_MAX_AGE => {
                self.read_peers();
            }
            _ => {}
        }
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

    /// Looks whether somebody changed the table, and then restores it.
    fn look(&mut self, change: Option<&Change>) -> bool {
        let Some(found) = self.firewall.verify(change) else { return false };
        let by = change.map_or_else(|| "an unknown program".to_owned(), by_whom);
        self.feed(Event::Tampered { by, found });
        true
    }

    /// The regular look. The kernel tells of the same change, and by whom it was: where the look came
    /// first, that word is waited for, so that the audit log names the program. Whatever else comes
    /// meanwhile is done; a deadline, and the table, wait so long at most.
    fn look_for_ourselves(&mut self, inbox: &Receiver<Message>) {
        let waiting = Stopwatch::start();
        while self.firewall.verify(None).is_some() {
            let left = HEARSAY.saturating_sub(waiting.elapsed());
            let message = if left.is_zero() { None } else { inbox.recv_timeout(left).ok() };
            match message {
                Some(Message::RulesetChanged(change)) if self.look(Some(&change)) => return,
                Some(Message::RulesetChanged(_)) => {}
                Some(message) => self.take(message),
                None => {
                    self.look(None);
                    return;
                }
            }
        }
    }

    /// Reads what listed addresses sent, where there is a feed to count it for.
    fn read_hits(&mut self) {
        self.hits_read = Stopwatch::start();
        if !self.engine.ledger().feeds.is_empty() {
            let hits = self.firewall.hits();
            self.feed(Event::Hits(hits));
        }
    }

    fn feed(&mut self, event: Event) {
        let actions = self.engine.handle(event, self.clock.now());
        self.execute(actions);
    }

    fn execute(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Commit { changes, records } => {
                    let stored = self.store.commit(&changes, &records, self.clock.now());
                    self.feed(Event::Stored(stored));
                }
                Action::Project(how) => {
                    let projected = self.project(how);
                    self.feed(Event::Projected(projected));
                }
                Action::Cut(flows) => self.cut(flows),
                Action::Close => {
                    if let Err(error) = self.firewall.close() {
                        journal::tell(
                            Level::Error,
                            &format!("it could not be closed at once: {error}"),
                        );
                    }
                }
                Action::Teach(peers) => {
                    if let Err(error) = self.firewall.teach(&peers) {
                        let message = format!(
                            "could not restore known peers: {error}; inbound calls of trunks may be dropped until the PBX registers again"
                        );
                        journal::tell(Level::Warning, &message);
                    }
                }
                Action::Unlearn(unlearn) => {
                    if let Err(error) = self.firewall.unlearn(|peer| unlearn.concerns(peer)) {
                        let message = format!(
                            "could not remove peers from the kernel: {error}; they stay known until they expire (see \"nightlatch peer list\")"
                        );
                        journal::tell(Level::Warning, &message);
                    }
                    self.save_peers();
                }
                Action::AskPbx => {
                    let catalogue = self.engine.world(self.clock.now()).catalogue.clone();
                    self.background(|inbox| pbx_peers::ask_in_background(catalogue, inbox));
                    self.published_wanted = true;
                }
                Action::Reply(ticket, reply) => self.reply(ticket, reply),
                Action::Keep(content) => self.keep(&content),
                Action::Forget(name) => {
                    if let Err(error) = self.kept.forget(&name) {
                        journal::tell(Level::Warning, &format!("the kept list {name}: {error}"));
                    }
                }
                Action::Fetch(feed, state) => {
                    let arriving = self.arriving.clone();
                    self.background(|inbox| {
                        feeds::io::fetch_in_background(feed, state, arriving, inbox);
                    });
                }
                Action::ReadCountries { source, countries, known } => self.background(|inbox| {
                    countries::io::read_in_background(source, countries, known, inbox);
                }),
                Action::ReadConfiguration(ticket, caller) => {
                    let rules = configuration::read(&self.paths.config);
                    if rules.is_ok() {
                        boot::keep_configuration(&self.store, &self.paths.config);
                    }
                    let rules = rules.map_err(|failure| failure.message);
                    self.feed(Event::Configured { ticket, caller, rules });
                }
                Action::Tell(level, message) => journal::tell(level, &message),
            }
        }
    }

    /// Begins work in the background, where there is a loop that takes what comes of it.
    fn background(&self, begin: impl FnOnce(SyncSender<Message>)) {
        if let Some(inbox) = &self.inbox {
            begin(inbox.clone());
        }
    }

    fn keep(&self, content: &Content) {
        if let Err(error) = self.kept.keep(content) {
            let message =
                format!("a list is in force but could not be kept for a restart: {error}");
            journal::tell(Level::Warning, &message);
        }
    }

    fn project(&mut self, how: Project) -> Result<(), String> {
        let now = self.clock.now();
        let trial = self.engine.ledger().protection.trial_end().map(|end| end.since(now));
        let desired = self.engine.desired(now);
        systemd::patiently(|| self.firewall.project(desired, trial, how))
    }

    /// Records who began which connection, for when connection tracking has forgotten it.
    fn remember_beginnings(&mut self) {
        let catalogue = self.engine.world(self.clock.now()).catalogue;
        if let Err(error) = self.beginnings.remember(&mut self.firewall, catalogue) {
            journal::tell(
                Level::Warning,
                &format!("could not record who began the running connections: {error}"),
            );
        }
    }

    fn cut(&mut self, flows: Flows) {
        let world = self.engine.world(self.clock.now());
        let cut = cuts::cut(&mut self.firewall, &self.beginnings, world, flows);
        if let Err(error) = cut {
            let message = format!("running connections could not be ended: {error}");
            journal::tell(Level::Error, &message);
        }
    }

    fn reply(&mut self, ticket: Ticket, mut reply: Reply) {
        if let Reply::Status(status) = &mut reply {
            status.dropped = self.firewall.dropped();
            status.survives_reboot = systemd::boots_with_us();
        }
        if let Reply::Feeds(feeds) = &mut reply {
            for view in feeds {
                view.arrived = self.arriving.of(&view.feed.name);
            }
        }
        if let Some(reply_to) = self.waiting.remove(&ticket) {
            // Whoever asked may have gone; the change stands all the same.
            let _ = reply_to.try_send(reply);
        }
    }
}

/// Takes in the lists that were kept, so that nothing waits for the network.
pub(crate) fn restore_lists(engine: &mut Engine, kept: &Kept) {
    let mut feeds = Vec::new();
    for name in engine.ledger().feeds.keys() {
        match kept.feed(name) {
            Ok((content, version)) => feeds.push((name.clone(), content, version)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => journal::tell(Level::Warning, &format!("the kept list {name}: {error}")),
        }
    }
    let wanted = !engine.ledger().countries.is_empty();
    let table = wanted.then(|| kept.table());
    let table = table.and_then(|table| match table {
        Ok(table) => Some(table),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => {
            journal::tell(Level::Warning, &format!("the kept table of countries: {error}"));
            None
        }
    });
    engine.restore_lists(feeds, table);
}

/// The program behind a change, as the kernel names it.
fn by_whom(change: &Change) -> String {
    match (change.program.as_str(), change.process_id) {
        ("", None) => "an unknown program".to_owned(),
        (program, None) => program.to_owned(),
        (program, Some(process)) => format!("{program} (process {process})"),
    }
}
