//! Sessions of several lines: who connected is in one, that the password was wrong in another.

use std::collections::{HashMap, VecDeque};

use super::caught::{Caught, Role};

/// The most sessions that are remembered; the oldest is forgotten first.
const MAX_SESSIONS: usize = 4_096;
/// How long a session is remembered after its first line, in seconds.
const MAX_AGE: u64 = 300;
/// The longest name of a session, in bytes.
const MAX_NAME: usize = 512;
/// The most user names of one session that are told apart.
const MAX_USERS: usize = 8;

#[derive(Clone, Debug, Default)]
pub(super) struct Session {
    pub(super) caught: Caught,
    pub(super) users: Vec<Vec<u8>>,
    /// Failures wait for the line that tells their source.
    pub(super) pending: bool,
    /// The line with the source could be read in another way.
    pub(super) doubtful: Option<std::net::IpAddr>,
    /// How many lines count as failures, and how many not yet.
    pub(super) failures: u32,
    withheld: u32,
    since: u64,
    serial: u64,
}

/// All sessions of one filter.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    known: HashMap<Vec<u8>, Session>,
    order: VecDeque<(Vec<u8>, u64)>,
    serial: u64,
}

impl Sessions {
    /// Merges a line into its session, and returns what the session says now; `now` in seconds.
    pub(super) fn merge(&mut self, name: &[u8], mut new: Caught, now: u64) -> Session {
        let gained = new.has(Role::Gained);
        if gained {
            new.gain();
        }
        let mut withheld = new.has(Role::NoFailure);
        let forget = new.take(Role::Forget).is_some();
        let before = self
            .known
            .get(name)
            .filter(|session| now.saturating_sub(session.since) <= MAX_AGE)
            .cloned();
        let known = before.is_some();
        let user = new.text(Role::User).filter(|user| !user.is_empty()).map(<[u8]>::to_vec);
        let mut session = before.unwrap_or_else(|| Session { since: now, ..Session::default() });
        session.add_user(user);
        let was_withheld = session.caught.take(Role::NoFailure).is_some()
            | session.caught.take(Role::Gained).is_some();
        if known {
            session.pending &= !gained;
            if !was_withheld && !session.pending {
                session.failures = 0;
            }
        }
        session.caught.update(new);
        let was_pending = std::mem::take(&mut session.pending);
        if was_pending || session.users.len() > 1 && (known || !forget) {
            session.caught.take(Role::NoFailure);
            session.caught.take(Role::Gained);
            withheld = false;
        }
        if !withheld {
            session.failures = session
                .failures
                .saturating_add(std::mem::take(&mut session.withheld))
                .saturating_add(1);
        } else if !forget {
            session.withheld = session.withheld.saturating_add(1);
        }
        if forget {
            self.known.remove(name);
        } else {
            self.keep(name, session.clone());
        }
        session
    }

    /// Notes that a session's failure waits for its source.
    pub(super) fn wait(&mut self, name: &[u8]) {
        if let Some(session) = self.known.get_mut(name) {
            session.pending = true;
        }
    }

    /// Notes that the source of a session is doubtful.
    pub(super) fn doubt(&mut self, name: &[u8], another: std::net::IpAddr) {
        if let Some(session) = self.known.get_mut(name) {
            session.doubtful = Some(another);
        }
    }

    fn keep(&mut self, name: &[u8], mut session: Session) {
        if name.len() > MAX_NAME {
            return;
        }
        let is_new = self.known.get(name).is_none_or(|old| old.serial != session.serial);
        if is_new {
            self.make_room();
            self.serial += 1;
            session.serial = self.serial;
            self.order.push_back((name.to_vec(), self.serial));
        }
        self.known.insert(name.to_vec(), session);
    }

    fn make_room(&mut self) {
        while self.known.len() >= MAX_SESSIONS || self.order.len() >= 2 * MAX_SESSIONS {
            let Some((name, serial)) = self.order.pop_front() else { return };
            if self.known.get(&name).is_some_and(|session| session.serial == serial) {
                self.known.remove(&name);
            }
        }
    }
}

impl Session {
    fn add_user(&mut self, user: Option<Vec<u8>>) {
        let Some(user) = user else { return };
        if self.users.len() < MAX_USERS && !self.users.contains(&user) {
            self.users.push(user);
        }
    }
}
