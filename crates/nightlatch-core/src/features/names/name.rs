//! A host name: who uses it, its addresses, and how it goes with them.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sense::Senseless;
use crate::Family;
use crate::entry::HostName;
use crate::ranges::is_private;
use crate::time::Time;

/// For how long the last good addresses count while no name server responds, or all report errors.
pub(super) const KEPT_WHILE_FAILING: Duration = Duration::from_secs(7 * 86_400);
/// For how long they count after the name has vanished: a released address belongs to a stranger soon.
pub(super) const KEPT_WHEN_GONE: Duration = Duration::from_secs(86_400);
/// The same for names of providers: a mistake in their zone is likelier than the end of their service.
pub(super) const PROVIDERS_KEPT_WHEN_GONE: Duration = Duration::from_secs(7 * 86_400);
/// How often a name has to be reported as gone before that is believed.
pub(super) const CONFIRMATIONS: u8 = 3;
/// Over which time.
pub(super) const CONFIRMED_OVER: Duration = Duration::from_secs(3600);
/// How records of providers begin in [`Name::of`].
const PROVIDERS: &str = "providers/";

/// A host name that is in use. On disk is only what does not change with each answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Name {
    /// The name.
    pub name: HostName,
    /// The records that use it, e.g. `accounts/office`, and whether private addresses count for them.
    pub of: BTreeMap<String, bool>,
    /// The addresses that count now, sorted.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// When they last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<Time>,
    /// Since when its IPv4 addresses cannot be looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_v4: Option<Failing>,
    /// Since when its IPv6 addresses cannot be looked up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing_v6: Option<Failing>,
    /// Since when the name server says that it has no address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<Gone>,
    /// Whether an answer shows only some of its addresses.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rotates: bool,
    /// Which addresses of the last answer do not count, as far as they make no sense.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Senseless>,
    /// When it got new addresses within the last day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Time>,
    /// When it was last reported that it changes often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_often: Option<Time>,
}

/// Look-ups fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// Since when.
    pub since: Time,
    /// Why they began to.
    pub why: Failure,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// No name server answered in time.
    Silent,
    /// No name server can be reached.
    Unreachable,
    /// The name server reports an error with this code, e.g. 2 for SERVFAIL.
    Server(u8),
    /// The answer is malformed.
    Malformed,
    /// None of the addresses makes sense.
    Senseless,
    /// It has more addresses than are accepted.
    TooMany(usize),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Silent => f.write_str("no name server responds"),
            Failure::Unreachable => f.write_str("no name server is reachable"),
            Failure::Server(2) => f.write_str("the name server failed (SERVFAIL)"),
            Failure::Server(5) => f.write_str("the name server refused the query (REFUSED)"),
            Failure::Server(code) => write!(f, "the name server reports error {code}"),
            Failure::Malformed => f.write_str("the answer is malformed"),
            Failure::Senseless => f.write_str("none of its addresses is accepted"),
            Failure::TooMany(count) => write!(f, "it has {count} addresses, more than 64"),
        }
    }
}

/// The name server says that there is no such name, or that it has no address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// When it did so first.
    pub since: Time,
    /// How often it did so, up to [`CONFIRMATIONS`].
    pub times: u8,
    /// Whether it is believed.
    pub confirmed: bool,
}

impl Name {
    /// A name that nobody uses yet and that was not looked up.
    pub fn new(name: HostName) -> Name {
        Name {
            name,
            of: BTreeMap::new(),
            addresses: Vec::new(),
            changed: None,
            failing_v4: None,
            failing_v6: None,
            gone: None,
            rotates: false,
            refused: Vec::new(),
            changes: Vec::new(),
            told_often: None,
        }
    }

    /// Whether private addresses count for a record that uses it.
    pub fn may_be_private(&self) -> bool {
        self.of.values().any(|private| *private)
    }

    /// Whether it never had an address.
    pub fn was_never_found(&self) -> bool {
        self.addresses.is_empty() && self.changed.is_none()
    }

    /// The addresses that count for a record for which private ones do, or do not.
    pub fn counting(&self, private: bool) -> Vec<IpAddr> {
        let counts = |address: &IpAddr| private || !is_private(address);
        self.addresses.iter().copied().filter(counts).collect()
    }

    /// Its addresses of a family.
    pub fn of_family(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        let is_v4 = family == Family::V4;
        self.addresses.iter().copied().filter(move |address| address.is_ipv4() == is_v4)
    }

    /// Since when look-ups of a family fail.
    pub fn failing(&mut self, family: Family) -> &mut Option<Failing> {
        match family {
            Family::V4 => &mut self.failing_v4,
            Family::V6 => &mut self.failing_v6,
        }
    }

    /// Since when look-ups fail: of a family that it has addresses of, or all.
    pub fn fails(&self) -> Option<&Failing> {
        let failing = [&self.failing_v4, &self.failing_v6].into_iter().flatten();
        failing.min_by_key(|failing| failing.since)
    }

    /// For how long its addresses count after it has vanished.
    pub fn kept_when_gone(&self) -> Duration {
        match self.of.keys().any(|of| of.starts_with(PROVIDERS)) {
            true => PROVIDERS_KEPT_WHEN_GONE,
            false => KEPT_WHEN_GONE,
        }
    }

    /// When addresses of it no longer count unless an answer comes.
    pub fn ends(&self) -> Option<Time> {
        if self.addresses.is_empty() {
            return None;
        }
        let gone = self.gone.as_ref().filter(|gone| gone.confirmed);
        let gone = gone.map(|gone| gone.since.after(self.kept_when_gone()));
        let fails = self.fails().map(|failing| failing.since.after(KEPT_WHILE_FAILING));
        [gone, fails].into_iter().flatten().min()
    }

    /// The clock was set forward, or the machine slept: no name server was asked meanwhile, so that time
    /// does not count against the addresses.
    pub fn leave_out(&mut self, span: Duration) {
        let since = [&mut self.failing_v4, &mut self.failing_v6].into_iter().flatten();
        since.for_each(|failing| failing.since = failing.since.after(span));
        if let Some(gone) = &mut self.gone {
            gone.since = gone.since.after(span);
        }
    }
}
