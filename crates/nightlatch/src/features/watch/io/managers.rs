//! The manager interfaces that are listened to. A lost connection is established again.

use std::net::SocketAddr;
use std::time::Duration;

use nightlatch_core::features::watch::{Login, Notice, Source, SourceState, WhyLow};
use nightlatch_core::time::Time;
use nightlatch_parse::log::Format;
use rustix::event::PollFd;

use super::ami::{Connection, End, Taking};
use super::login;
use crate::features::watch::intake::{How, Intake, LineReader, Onlooker, Written};
use crate::features::watch::manager::User;
use crate::features::watch::trust::trust;
use crate::shell::paths::Paths;

/// The pause before it is connected again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// The longest pause after a refused login, because each attempt writes a line into Asterisk's log.
const MAX_PAUSE_REFUSED: Duration = Duration::from_secs(600);
/// After a connection that lasted this long, the pauses start again with the shortest.
const RUNS_WELL: Duration = Duration::from_secs(10);
/// After so long without a connection the administrator is told. A restart of Asterisk takes less.
const TELL_AFTER: Duration = Duration::from_secs(60);

/// A moment. It is an argument, so that a test sets it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// By the clock.
    pub(super) time: Time,
    /// By a count that changes of the clock do not affect.
    pub(super) count: Duration,
}

/// A manager interface, and as whom to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) server: SocketAddr,
    /// A user of `manager.conf` where there is none.
    pub(super) login: Option<Login>,
    pub(super) is_configured: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Managers(Vec<Manager>);

struct Manager {
    spec: Spec,
    lines: LineReader,
    connection: Option<Connection>,
    state: SourceState,
    why_low: Option<WhyLow>,
    is_trust_known: bool,
    /// How many connections in a row have failed or ended early.
    failures: u32,
    /// When the last connection ended, by the count.
    ended: Option<Duration>,
    /// Since when it is connected.
    since: Option<Time>,
    /// Since when it is not.
    lost: Moment,
    was_connected: bool,
    has_told: bool,
    gaps: u64,
    gap: Duration,
    /// What is read next was reported no earlier than this.
    from: Time,
}

/// What comes of reading all of them.
#[derive(Default)]
pub(super) struct ReadAll {
    pub(super) has_read: bool,
    pub(super) more: bool,
    pub(super) notices: Vec<Notice>,
}

impl Managers {
    /// Replaces the interfaces that are listened to. Connections to those that stay are kept.
    pub(super) fn listen_to(&mut self, specs: Vec<Spec>, now: Moment) {
        let mut before = std::mem::take(&mut self.0);
        for spec in specs {
            let kept = before.iter().position(|manager| manager.spec == spec);
            let kept = kept.map(|at| before.swap_remove(at));
            self.0.push(kept.unwrap_or_else(|| Manager::new(spec, now)));
        }
    }

    /// Reads what has arrived and opens connections that are due, without blocking.
    pub(super) fn read(
        &mut self,
        paths: &Paths,
        buffer: &mut [u8],
        now: Moment,
        intake: &mut Intake,
        onlooker: &mut impl Onlooker,
    ) -> ReadAll {
        let mut all = ReadAll::default();
        for manager in &mut self.0 {
            let before = manager.lines.counts.lines;
            all.more |= manager.go_on(paths, buffer, now, intake, onlooker, &mut all.notices);
            all.has_read |= manager.lines.counts.lines > before;
            all.notices.extend(manager.told(now));
        }
        all
    }

    /// What can be waited for.
    pub(super) fn wait_for(&self) -> impl Iterator<Item = PollFd<'_>> {
        let connections = self.0.iter().filter_map(|manager| manager.connection.as_ref());
        connections.map(|connection| {
            let (socket, flags) = connection.waits_for();
            PollFd::from_borrowed_fd(socket, flags)
        })
    }

    /// The time until the next deadline; `count` as in [`Moment`].
    pub(super) fn due(&self, count: Duration) -> Duration {
        self.0.iter().map(|manager| manager.due(count)).fold(Duration::MAX, Duration::min)
    }

    /// Whether one of them reports security events.
    pub(super) fn hears(&self) -> bool {
        self.0.iter().any(|manager| manager.state == SourceState::Read)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The status of each.
    pub(super) fn standing(&self) -> impl Iterator<Item = Source> {
        self.0.iter().map(Manager::standing)
    }
}

impl Manager {
    fn new(spec: Spec, now: Moment) -> Manager {
        let how = How::Formats(vec![Format::Asterisk]);
        let mut lines = LineReader::new(format!("ami {}", spec.server), how, None);
        lines.knows_writer = true;
        Manager {
            spec,
            lines,
            connection: None,
            state: SourceState::NotConnected { error: "not tried yet".to_owned() },
            why_low: Some(WhyLow::UnknownUser),
            is_trust_known: false,
            failures: 0,
            ended: None,
            since: None,
            lost: now,
            was_connected: false,
            has_told: false,
            gaps: 0,
            gap: Duration::ZERO,
            from: now.time,
        }
    }

    /// How long the pause before the next connection still lasts.
    fn pause_left(&self, count: Duration) -> Duration {
        let Some(ended) = self.ended else { return Duration::ZERO };
        let longest = match self.state {
            SourceState::Refused { .. } => MAX_PAUSE_REFUSED,
            _ => MAX_PAUSE,
        };
        let doubled = self.failures.saturating_sub(1).min(16);
        let pause = FIRST_PAUSE.saturating_mul(1 << doubled).min(longest);
        pause.saturating_sub(count.saturating_sub(ended))
    }

    fn due(&self, count: Duration) -> Duration {
        match &self.connection {
            None => self.pause_left(count),
            Some(connection) => connection.due().unwrap_or(Duration::MAX),
        }
    }

    /// Connects, reads and writes without blocking. Returns whether there may be more to read.
    fn go_on(
        &mut self,
        paths: &Paths,
        buffer: &mut [u8],
        now: Moment,
        intake: &mut Intake,
        onlooker: &mut impl Onlooker,
        notices: &mut Vec<Notice>,
    ) -> bool {
        if self.connection.is_none() && self.pause_left(now.count).is_zero() {
            match Connection::begin(self.spec.server) {
                Ok(connection) => self.connection = Some(connection),
                Err(end) => notices.extend(self.ends(end, now)),
            }
            self.is_trust_known = false;
        }
        let Some(connection) = &mut self.connection else { return false };
        let was_logged_in = connection.is_logged_in();
        let Spec { server, login, .. } = &self.spec;
        let user = || -> Result<User, String> { login::user(paths, *server, login.as_ref()) };
        let written = Written::Between(self.from, now.time);
        let lines = &mut self.lines;
        let mut taking = Taking { lines, intake, onlooker, written, user: &user };
        let result = connection.go_on(buffer, &mut taking);
        let is_logged_in = connection.is_logged_in();
        if !self.is_trust_known
            && let Some((own, peer)) = connection.ends()
        {
            self.is_trust_known = true;
            self.why_low = why_low(own, peer);
            self.lines.trust = trust(self.why_low.as_ref());
        }
        // It may have ended again by now.
        if is_logged_in && !was_logged_in {
            notices.extend(self.begins(now.time));
        }
        let more = match result {
            Ok(more) => more,
            Err(end) => {
                notices.extend(self.ends(end, now));
                return false;
            }
        };
        if !more {
            self.from = now.time;
        }
        more
    }

    /// It is logged in.
    fn begins(&mut self, now: Time) -> Option<Notice> {
        let from = self.lost.time;
        if self.was_connected {
            self.gaps += 1;
            self.gap = self.gap.saturating_add(now.since(from));
        }
        self.state = SourceState::Read;
        self.since = Some(now);
        // What is reported from here on was so after the login.
        self.from = now;
        self.was_connected = true;
        let log = self.lines.log.clone();
        let was_told = std::mem::take(&mut self.has_told);
        was_told.then_some(Notice::ConnectedAgain { log, from, until: now })
    }

    /// It is not connected any more.
    fn ends(&mut self, end: End, now: Moment) -> Option<Notice> {
        if let Some(connection) = self.connection.take().filter(Connection::is_logged_in) {
            self.lost = now;
            if connection.elapsed() >= RUNS_WELL {
                self.failures = 0;
            }
        }
        self.failures = self.failures.saturating_add(1);
        self.ended = Some(now.count);
        self.since = None;
        let (state, notice) = match end {
            End::Lost(error) => (SourceState::NotConnected { error }, None),
            End::Refused { user, error } => {
                let log = self.lines.log.clone();
                let notice = Notice::Refused { log, user: user.clone(), error: error.clone() };
                (SourceState::Refused { user, error }, Some(notice))
            }
        };
        let is_new = self.state != state;
        self.state = state;
        self.has_told |= notice.is_some();
        notice.filter(|_| is_new)
    }

    /// The notice about a state that has lasted too long.
    fn told(&mut self, now: Moment) -> Option<Notice> {
        let log = self.lines.log.clone();
        if let Some(connection) = &self.connection
            && connection.is_logged_in()
        {
            let state = connection
                .deaf()
                .map_or(SourceState::Read, |user| SourceState::NoEvents { user: user.to_owned() });
            let is_new = self.state != state;
            self.state = state;
            return match &self.state {
                SourceState::NoEvents { user } if is_new => {
                    Some(Notice::NoEvents { log, user: user.clone() })
                }
                _ => None,
            };
        }
        let SourceState::NotConnected { error } = &self.state else { return None };
        if self.has_told || now.count.saturating_sub(self.lost.count) < TELL_AFTER {
            return None;
        }
        self.has_told = true;
        Some(Notice::NotConnected { log, since: self.lost.time, error: error.clone() })
    }

    fn standing(&self) -> Source {
        let counts = self.lines.counts;
        Source {
            log: self.lines.log.clone(),
            format: self.lines.format(),
            thresholds: None,
            is_configured: self.spec.is_configured,
            state: self.state.clone(),
            trust: trust(self.why_low.as_ref()),
            why_low: self.why_low.clone(),
            lines: counts.lines,
            attempts: counts.attempts,
            doubtful: counts.doubtful,
            too_long: counts.too_long,
            given_up: 0,
            lost: counts.lost,
            gaps: self.gaps,
            gap_seconds: self.gap.as_secs(),
            since: self.since,
            last_line: counts.last_line,
            last_attempt: counts.last_attempt,
        }
    }
}

/// Why what a server reports is not fully trusted: who runs it could report what he likes.
fn why_low(own: SocketAddr, peer: SocketAddr) -> Option<WhyLow> {
    if own.ip() != peer.ip() && !peer.ip().is_loopback() {
        return Some(WhyLow::Network);
    }
    match login::user_of_peer(own, peer) {
        Some(0) => None,
        Some(uid) => Some(WhyLow::User { uid }),
        None => Some(WhyLow::UnknownUser),
    }
}

#[cfg(test)]
mod tests;
