//! The flows of this host that the kernel tracks.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nightlatch_core::cut::{Began, LiveFlow};
use nightlatch_core::service::Protocol;
use nightlatch_netfilter::conntrack::Flow;
use nightlatch_netfilter::{Netlink, NetlinkError};

use super::addresses;

/// How many times the kernel is asked for its flows if parts of the answer are lost.
const MAX_LISTINGS: usize = 5;

/// Lists flows, by a netlink socket of its own: the kernel walks its whole table, however few flows are
/// in it, and nothing else should wait for that.
#[derive(Debug)]
pub struct TrackedFlows {
    netlink: Netlink,
}

impl TrackedFlows {
    /// Connects to the kernel.
    ///
    /// # Errors
    /// No netlink socket can be had.
    pub fn open() -> Result<TrackedFlows, NetlinkError> {
        Ok(TrackedFlows { netlink: Netlink::open()? })
    }

    /// Calls `on_flow` for every TCP and UDP flow of this host that the kernel tracks. Who began it is
    /// [`Began::Unknown`] if the kernel picked up a TCP connection in the middle. May be called several
    /// times for one flow: if a part of the kernel's answer was lost, it is asked again.
    ///
    /// # Errors
    /// The kernel's error, or that a part of its answer was lost each time.
    pub fn for_each(&mut self, mut on_flow: impl FnMut(LiveFlow)) -> Result<(), String> {
        let own = addresses::own();
        for _ in 0..MAX_LISTINGS {
            let whole = self.netlink.for_each_flow(|flow| {
                if let Some(flow) = live_flow(&own, &flow) {
                    on_flow(flow);
                }
            });
            if whole.map_err(|error| error.to_string())? {
                return Ok(());
            }
        }
        Err(format!(
            "the kernel's list of connections was incomplete {MAX_LISTINGS} times in a row; connections missing from it were ignored"
        ))
    }
}

/// A tracked flow from this host's point of view; `None` if it is not a flow of this host.
fn live_flow(own: &BTreeSet<IpAddr>, flow: &Flow) -> Option<LiveFlow> {
    let protocol = match flow.protocol {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        _ => return None,
    };
    let to = flow.original;
    let (from_us, to_us) = (own.contains(&to.source), own.contains(&to.destination));
    let (peer, peer_port, local_port, began) = match (from_us, to_us) {
        (false, true) => (to.source, to.source_port, to.destination_port, Began::Peer),
        (true, false) => (to.destination, to.destination_port, to.source_port, Began::Host),
        _ => return None,
    };
    let began = if flow.picked_up { Began::Unknown } else { began };
    let host_sends = from_us || flow.seen_reply;
    Some(LiveFlow { protocol, peer, peer_port, local_port, began, host_sends })
}
