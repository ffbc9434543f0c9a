//! How much of connection tracking strangers may take.

use serde::{Deserialize, Serialize};

use crate::config::Rate;

/// The share of connection tracking that strangers' flows may take.
///
/// An expired entry still counts until the kernel collects it, up to a minute later. So at any time
/// there are at most the entries that were alive a minute ago, and those begun since then; both
/// numbers are limited. Of the 32 parts of the share, media get twelve, other UDP services twelve,
/// half-open TCP connections four, and pings four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrangersShare {
    /// The most entries in total.
    pub entries: u32,
}

impl Default for StrangersShare {
    /// For a kernel that tracks 65,536 flows.
    fn default() -> StrangersShare {
        StrangersShare::of(65_536)
    }
}

impl StrangersShare {
    /// After how many seconds without a packet a stranger's UDP flow is forgotten. Media streams
    /// rarely pause that long; after a longer pause a stream counts as new.
    pub const UDP_TIMEOUT: u32 = 3;
    /// After how many seconds a stranger's half-open TCP connection is forgotten.
    pub const TCP_TIMEOUT: u32 = 10;
    /// After how many seconds the kernel forgets a ping.
    const PING_TIMEOUT: u32 = 30;
    /// After how many seconds at the latest the kernel collects expired entries
    /// (`GC_SCAN_INTERVAL_MAX`, net/netfilter/nf_conntrack_core.c).
    const MAX_GC_INTERVAL: u32 = 60;

    /// A quarter of the kernel's limit (`nf_conntrack_max`).
    pub fn of(conntrack_max: u32) -> StrangersShare {
        StrangersShare { entries: conntrack_max / 4 }
    }

    /// Concurrent media streams. Streams are counted, not packets: a call has fifty packets a second.
    pub fn streams(self) -> u32 {
        self.parts(6).max(1)
    }

    /// New media streams a second.
    pub fn new_streams(self) -> Rate {
        new_flow_rate(self.parts(6), StrangersShare::UDP_TIMEOUT)
    }

    /// Packets a second to other UDP services: each prolongs at most one entry.
    pub fn udp(self) -> Rate {
        let packets = (self.parts(3) / (StrangersShare::UDP_TIMEOUT + 1)).max(1);
        Rate { packets, burst: packets }
    }

    /// New flows a second to other UDP services.
    pub fn new_udp(self) -> Rate {
        new_flow_rate(self.parts(9), StrangersShare::UDP_TIMEOUT)
    }

    /// New TCP connections a second.
    pub fn new_tcp(self) -> Rate {
        new_flow_rate(self.parts(4), StrangersShare::TCP_TIMEOUT)
    }

    /// Pings a second, where strangers may ping.
    pub fn pings(self) -> Rate {
        new_flow_rate(self.parts(4), StrangersShare::PING_TIMEOUT)
    }

    fn parts(self, of_32: u32) -> u32 {
        self.entries / 32 * of_32
    }
}

/// The rate at which there are never more than `entries` entries, if each lives `timeout` seconds. A
/// quarter of them may come in one burst, as telephones do after an outage.
fn new_flow_rate(entries: u32, timeout: u32) -> Rate {
    let burst = (entries / 4).max(1);
    let packets = (entries - entries / 4) / (timeout + StrangersShare::MAX_GC_INTERVAL + 1);
    Rate { packets: packets.max(1), burst }
}
