//! Filters of fail2ban, used as they are.
//!
//! A filter is loaded from its files as fail2ban loads it, and then reads lines. Three things differ on
//! purpose. Host names are never resolved: a line that names one has no address. An address that is only
//! part of a word, such as of `192.0.2.1.example.net`, is none. And where a line could be read in two ways
//! that name different addresses, [`Match::another`] says so: a reason for a notice, never for a ban.
//!
//! ```
//! use nightlatch_parse::fail2ban::{Filter, Kind, Reference, Source};
//! let text = "[Definition]\nfailregex = ^\\s*wrong password from <HOST>$\n";
//! let reference = Reference::parse("/srv/own.conf").unwrap();
//! // The caller reads files; this one knows a single file.
//! let mut files = |path: &str| (path == "/srv/own.conf").then(|| text.to_owned());
//! let mut filter = Filter::load(&reference, Source::File, &mut files).unwrap();
//! let found = filter.read(b"2026-11-20 08:36:32 wrong password from 192.0.2.1", 0).unwrap();
//! assert_eq!(found.kind, Kind::Failure);
//! assert_eq!(found.address, "192.0.2.1".parse().ok());
//! ```

mod caught;
mod config;
mod date;
mod definition;
mod error;
mod filter;
mod host;
mod ini;
mod pattern;
mod prefilter;
mod reference;
mod session;
mod span;

use std::net::IpAddr;

pub use definition::Source;
pub use error::FilterError;
pub use filter::Filter;
pub use reference::Reference;

use crate::log::{Attempt, Doubt, Outcome, Proof, Reading, Service, Stamp};

/// How a line counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A failure.
    Failure,
    /// It matches, and the filter says that it is no failure.
    NotFailure,
    /// A failure of a session whose source a later line will tell.
    Waiting,
    /// It matches, and the filter says to ignore it.
    Ignored,
}

/// What a filter read in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// How it counts.
    pub kind: Kind,
    /// When, as the line says.
    pub stamp: Option<Stamp>,
    /// From where. `None` also where the line names a host, or anything else that is not an address.
    pub address: Option<IpAddr>,
    /// The text that names the source: the attacker's text where it is not an address.
    pub host: Option<Vec<u8>>,
    /// The user name that was tried: the attacker's text.
    pub user: Option<Vec<u8>>,
    /// All user names that were tried in the same session, at most eight.
    pub users: Vec<Vec<u8>>,
    /// What tells this session from others, where the filter says.
    pub session: Option<Vec<u8>>,
    /// How many lines of its session count as failures.
    pub failures: u32,
    /// Another address in the line that the filter could match as well.
    pub another: Option<IpAddr>,
    /// Which of the filter's expressions matched, from 0.
    pub rule: usize,
}

impl Match {
    /// The match as what a log reader says, for the judge. `None` if it is no failure, or names no source.
    ///
    /// A line whose source is a host name, or anything else that is not an address, is doubtful and has no
    /// sources. A filter does not tell why an attempt failed, or whether its source may be forged: it counts as a
    /// wrong password from a source that is only claimed.
    pub fn reading<'a>(&'a self, service: Service, line: &'a [u8]) -> Option<Reading<'a>> {
        if self.kind != Kind::Failure {
            return None;
        }
        let Some(source) = self.address else {
            let text = self.host.as_deref()?;
            let (stamp, sources) = (self.stamp, Vec::new());
            return Some(Reading::Doubtful(Doubt { stamp, service, sources, text }));
        };
        if let Some(another) = self.another {
            let sources = vec![source, another];
            return Some(Reading::Doubtful(Doubt {
                stamp: self.stamp,
                service,
                sources,
                text: line,
            }));
        }
        Some(Reading::Attempt(Attempt {
            stamp: self.stamp,
            source,
            port: None,
            service,
            outcome: Outcome::WrongPassword,
            proof: Proof::Claimed,
            account: self.user.as_deref(),
            session: self.session.as_deref(),
            agent: None,
            dialled: None,
        }))
    }
}
