//! Requests and replies of the control socket: the envelope. What is in it belongs to the features.
//! The command line, the tests and later the portal share it. One JSON object a line, each way.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::audit::Caller;
use crate::features;
use crate::policy::{Reason, Verdict};
use crate::posture::Mode;
use crate::probe::{Findings, Probe};
pub use crate::refusal::{Cause, LockOut, Refusal, RefusalKind};
use crate::service::{Ports, ServiceName};
use crate::signalling::Peer;
use crate::time::Time;

/// The number of the protocol. Both sides refuse another one.
pub const VERSION: u32 = 2;

/// What ends by itself within this time ends soon.
pub const SOON: Duration = Duration::from_secs(86_400);

/// The most peers and the most denials that a status lists.
pub const MAX_LISTED: usize = 1_000;

/// What is asked of the daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Something of the features.
    Do(Ask),
    /// What happens to packets of an address, and why.
    Why {
        /// The address.
        address: IpAddr,
        /// For which port; for all services where absent.
        to: Option<Ports>,
    },
    /// How things stand.
    Status,
    /// Read the configuration again.
    Reload,
}

/// Something that is asked of features: all of it is done, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ask {
    /// What is asked, in this order: each on what the one before leaves.
    pub requests: Vec<features::Request>,
    /// Even if it ends the caller's own session, or what else would be refused.
    #[serde(default)]
    pub force: bool,
    /// Whether to change nothing and only say what would happen: then the reply has [`Findings`].
    #[serde(default)]
    pub dry_run: bool,
    /// What is judged as it will be. Whoever comes by SSH is judged also without a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<Box<Probe>>,
}

impl Request {
    /// A single request to a feature.
    pub fn of(request: impl Into<features::Request>) -> Request {
        Request::Do(Ask { requests: vec![request.into()], ..Ask::default() })
    }

    /// The same, with or without force.
    #[must_use]
    pub fn forced(self, force: bool) -> Request {
        match self {
            Request::Do(ask) => Request::Do(Ask { force, ..ask }),
            other => other,
        }
    }
}

/// The daemon's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Done, or answered.
    Done(Done),
    /// Not done, and nothing was changed.
    Refused(Refusal),
    /// A verdict.
    Why(Box<Why>),
    /// How things stand.
    Status(Box<Status>),
}

/// What was done, or is answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Done {
    /// What the features say, in this order.
    pub said: Vec<features::Reply>,
    /// Whether anything has changed.
    pub changed: bool,
    /// Whether what has changed counts only once the firewall is up.
    #[serde(default)]
    pub waits_for_up: bool,
    /// Whether the firewall was up before.
    #[serde(default)]
    pub stood: bool,
    /// What would happen, after a dry run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<Box<Findings>>,
}

/// The answer to `why`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// The address asked for.
    pub address: IpAddr,
    /// The port asked for.
    pub to: Option<Ports>,
    /// The verdict on a new packet: to that port, or to any port at all.
    pub verdict: Verdict,
    /// The source port for which it holds.
    pub from: u16,
    /// What strangers meet.
    pub mode: Mode,
    /// The services it reaches.
    pub reaches: Reaches,
    /// For a UDP signalling port: the verdict for each kind of packet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packets: Vec<(PacketKind, Verdict)>,
    /// What the features say of the address.
    pub about: Vec<features::Reply>,
    /// Whether no list counts for it: this server needs it, or an account covers it.
    pub is_spared_by_lists: bool,
    /// The moment of the judgement.
    pub now: Time,
}

/// Which services an address reaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reaches {
    /// Nothing is closed to it.
    All,
    /// These.
    Services(Vec<ServiceName>),
}

/// The kinds of packets at a signalling port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PacketKind {
    /// Requests but registrations.
    Request,
    /// Registrations.
    Registration,
    /// Responses.
    Response,
}

/// A peer known from this host's own requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownPeer {
    /// The peer.
    #[serde(flatten)]
    pub peer: Peer,
    /// When this host last sent a packet that makes it known.
    pub seen: Time,
    /// When it is forgotten unless this host sends another.
    pub until: Time,
}

/// How things stand, as the daemon knows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Why the kernel does not hold exactly the table it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Whether an early unit puts the firewall up at boot.
    pub survives_reboot: bool,
    /// How many ranges all lists together hold.
    pub listed: usize,
    /// Those of them that are IPv6.
    pub listed_v6: usize,
    /// About how many bytes the kernel needs for them; 0 while the firewall is off.
    pub listed_bytes: u64,
    /// Packets dropped since the table was put up, by counter.
    pub dropped: BTreeMap<String, u64>,
    /// How often somebody else changed the table, and the last of them.
    pub restored: u64,
    /// The last program that changed the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restored_last: Option<String>,
    /// What the features say.
    pub reports: Vec<features::Reply>,
}

/// The one word of a verdict's reason.
pub fn reason_word(verdict: &Verdict) -> &'static str {
    match verdict.reason {
        Reason::Off => "off",
        Reason::Loopback => "loopback",
        Reason::Answer => "answer",
        Reason::Running => "running",
        Reason::Essential => "essential",
        Reason::NotForThisHost => "not_for_this_host",
        Reason::Blocked { .. } => "blocked",
        Reason::Banned { .. } => "banned",
        Reason::Denied { .. } => "denied",
        Reason::Peer { .. } => "known_peer",
        Reason::Media => "media",
        Reason::Listed => "listed",
        Reason::Account { .. } => "account",
        Reason::OpenService { .. } => "open_service",
        Reason::Stranger => "stranger",
    }
}
