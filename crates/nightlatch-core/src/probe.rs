//! What is judged as it will be after a change, and what is found: the plan of `up`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::AddrRange;
use crate::cut::LiveFlow;
use crate::features;
use crate::policy::Reason;
use crate::refusal::Refusal;
use crate::service::Protocol;

/// The most flows of a request that are judged, so that other requests do not wait long. For more, ask
/// several times.
pub const MAX_PROBED_FLOWS: usize = 20_000;
/// The most ranges of a request that are looked up.
pub const MAX_PROBED_RANGES: usize = 10_000;

/// What is judged as it will be.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Probe {
    /// Where whoever asks comes from, if from outside. Judged also without a dry run: without a trial,
    /// a change that closes SSH to this address is refused.
    pub caller: Option<SshCaller>,
    /// Running flows: the first [`MAX_PROBED_FLOWS`] are judged.
    pub flows: Vec<LiveFlow>,
    /// Ports of this host that may be reached by strangers.
    pub ports: BTreeSet<(Protocol, u16)>,
    /// Addresses and networks of trunks and phones: the first [`MAX_PROBED_RANGES`] are looked up.
    pub ranges: Vec<AddrRange>,
}

/// Somebody who came by SSH.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshCaller {
    /// From this address.
    pub address: IpAddr,
    /// To this port.
    pub port: u16,
}

/// What would happen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Findings {
    /// Why the change itself would be refused.
    pub refusal: Option<Refusal>,
    /// What happens to the flows, in their order. There may be fewer: nothing is known of the rest.
    pub flows: Vec<FlowFinding>,
    /// The ports, and whether strangers reach them.
    pub ports: Vec<PortFinding>,
    /// What happens to whoever asks.
    pub caller: Option<CallerFinding>,
    /// What accounts allow for the ranges, in their order. There may be fewer.
    pub ranges: Vec<RangeFinding>,
}

/// What happens to a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowFinding {
    /// What happens to it.
    pub fate: Fate,
    /// Whether its first packet would be accepted.
    pub is_allowed: bool,
    /// Whether it is a media stream.
    pub is_media: bool,
}

/// What happens to a running flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// It ends.
    Ends,
    /// It is UDP signalling that the peer began: its packets are dropped.
    SignallingDenied,
    /// It continues although a new one would be dropped, because it is unknown who began it.
    ContinuesUnknown,
    /// It continues although a new one would be dropped, because it is a VPN.
    ContinuesAsVpn,
    /// It continues.
    Continues,
}

impl Fate {
    /// Whether the peer loses it.
    pub fn is_lost(self) -> bool {
        matches!(self, Fate::Ends | Fate::SignallingDenied)
    }
}

/// Whether strangers reach a port: anybody of whom nothing is known, and who is on no list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortFinding {
    /// The protocol.
    pub protocol: Protocol,
    /// The port.
    pub port: u16,
    /// Now.
    pub before: bool,
    /// When the firewall is up.
    pub after: bool,
}

/// What happens to whoever asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallerFinding {
    /// From where.
    pub address: IpAddr,
    /// Why no new SSH session could be begun from there, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shut_out: Option<Reason>,
    /// What the features say of the address.
    pub about: Vec<features::Reply>,
}

/// What accounts allow for a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeFinding {
    /// Whether one account allows SIP for the whole range.
    pub sip: bool,
    /// Whether an account covers its first address.
    pub covered: bool,
}
