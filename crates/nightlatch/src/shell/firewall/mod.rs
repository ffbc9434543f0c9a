//! The kernel's table: made what the ruleset says, read back, watched.

mod apply;
mod attribution;
mod elements;
mod hits;
mod learned;
mod left;
mod lists;
mod loads;
mod tracking;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nightlatch_core::Family;
use nightlatch_core::action::{Deny, Unlearn};
use nightlatch_core::cut::{self, CUT_TIMEOUT, LiveFlow};
use nightlatch_core::learned::{Lasting, SetSpec};
use nightlatch_core::ruleset::{KnockRules, TABLE, names, old_name};
use nightlatch_netfilter::{
    Change, Element, FlowKey, Key, Kind, Monitor, Netlink, NetlinkError, Set,
};

use super::clock::Stopwatch;
use super::outcome::Failure;
pub use attribution::Tampering;
use hits::Hits;
use left::Left;
pub use lists::{Exchange, Preparation};
use loads::Standing;
pub use loads::{Loaded, Sent};
pub use tracking::Tracking;

/// The firewall in this network namespace.
#[derive(Debug)]
pub struct Firewall {
    netlink: Netlink,
    /// The moment from which moments are counted here.
    began: Stopwatch,
    /// What the kernel holds, as far as we made it so.
    standing: Option<Standing>,
    hits: Hits,
    left: Left,
    /// Whether anything was projected yet.
    begun: bool,
    /// The container addresses and ports to which ports of this host are published.
    published: BTreeSet<SocketAddr>,
}

impl Firewall {
    /// Connects to the kernel.
    ///
    /// # Errors
    /// No netlink socket can be had.
    pub fn open() -> Result<Firewall, NetlinkError> {
        Ok(Firewall {
            netlink: Netlink::open()?,
            began: Stopwatch::start(),
            standing: None,
            hits: Hits::default(),
            left: Left::default(),
            begun: false,
            published: BTreeSet::new(),
        })
    }

    /// Keeps a note of what stands in that file, so that a later run need not load long lists anew.
    #[must_use]
    pub fn noting_in(mut self, file: std::path::PathBuf) -> Firewall {
        self.left = Left::at(file);
        self
    }

    /// Cuts running flows: from now on their packets are judged like first ones.
    ///
    /// # Errors
    /// The kernel's error, and how many flows remain active: the size of its set is limited.
    pub fn cut(&mut self, flows: &[LiveFlow]) -> Result<(), String> {
        let (mut all, mut left, mut refused) = (0, 0, None);
        for family in [Family::V4, Family::V6] {
            let set = learned::set_of(&cut::SET, family);
            let of_family = flows.iter().filter(|flow| Family::of(flow.peer) == family);
            let mut keys: Vec<FlowKey> = of_family.map(key).collect();
            keys.sort_unstable();
            keys.dedup();
            all += keys.len();
            let mut parts = keys.chunks(learned::MAX_AT_ONCE);
            while let Some(part) = parts.next() {
                let mut transaction = self.netlink.transaction();
                let elements = part.iter().map(|key| Element::from(Key::Flow(*key)));
                transaction.add(&set, elements.map(|element| element.lasting(CUT_TIMEOUT)));
                if let Err(error) = transaction.commit() {
                    left += part.len() + parts.by_ref().map(<[FlowKey]>::len).sum::<usize>();
                    refused = Some(error);
                }
            }
        }
        self.count_own();
        refused.map_or(Ok(()), |error| Err(format!("{left} of {all} flows remain active: {error}")))
    }

    /// The elements of sets of learned state, each with the time it has left; `None` if there is no
    /// table.
    pub fn learned(&mut self, sets: &[&'static SetSpec]) -> Option<Vec<Lasting>> {
        learned::read(&mut self.netlink, sets.iter().copied()).ok()
    }

    /// Adds elements to those sets, each for the given time.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn teach(&mut self, elements: &[Lasting]) -> Result<(), String> {
        let taught = learned::teach(&mut self.netlink, elements);
        self.count_own();
        taught
    }

    /// Deletes elements from those sets.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn unlearn(&mut self, unlearn: &Unlearn) -> Result<(), String> {
        let knocks = self.standing.as_ref().map(|standing| &standing.desired.knocks);
        let opened = knocks.into_iter().flat_map(KnockRules::left).collect::<Vec<_>>();
        let unlearned = learned::unlearn(&mut self.netlink, unlearn, &opened);
        self.count_own();
        unlearned
    }

    /// Changes sets that follow from records and deny something, in one transaction.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn deny(&mut self, deny: &Deny) -> Result<(), String> {
        let denied = learned::deny(&mut self.netlink, &deny.elements, &deny.stale);
        self.count_own();
        denied
    }

    /// Sets the containers to which ports are published.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn publish(&mut self, published: BTreeSet<SocketAddr>) -> Result<(), String> {
        if self.published == published {
            return Ok(());
        }
        let had_containers = !self.published.is_empty();
        self.published = published;
        if self.standing.is_some() {
            learned::set_published(&mut self.netlink, &self.published)?;
            self.count_own();
        }
        self.renew_rules(had_containers)
    }

    /// How many packets each counter of the table has seen.
    pub fn dropped(&mut self) -> std::collections::BTreeMap<String, u64> {
        let counters = self.netlink.counters(TABLE).unwrap_or_default();
        counters.into_iter().map(|(name, counter)| (name, counter.packets)).collect()
    }

    /// The packets of listed addresses that were stopped since the last call, by address.
    pub fn hits(&mut self) -> Vec<(IpAddr, u64)> {
        self.hits.since_last(&mut self.netlink)
    }

    /// The sources of which a packet was dropped within the last minute because it exceeded the limit of its source,
    /// with how many were counted: single addresses, of IPv6 the first of a network of 64 bits. The kernel keeps
    /// 4,096 of each family. None without a table.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn over_limits(&mut self) -> Result<Vec<(IpAddr, u64)>, NetlinkError> {
        let mut over = Vec::new();
        for (name, family) in [(names::OVER_V4, Family::V4), (names::OVER_V6, Family::V6)] {
            let set = Set::new(TABLE, name, Kind::Addresses(family));
            let counted = match self.netlink.read_counters(&set) {
                Err(error) if error.is_missing() => Vec::new(),
                counted => counted?,
            };
            over.extend(counted.into_iter().map(|(source, counter)| (source, counter.packets)));
        }
        Ok(over)
    }

    /// What of ours is in the kernel, whoever put it there; `None` where the kernel does not tell.
    pub fn seen(&mut self) -> Option<Seen> {
        let Some(found) = self.netlink.structure(TABLE).ok()? else { return Some(Seen::Gone) };
        // It may be the table of an older version.
        let chain = |name: &str| {
            let is_it = |found: &str| found == name || old_name(name) == Some(found);
            found.chains.iter().find(|chain| is_it(&chain.name))
        };
        let Some(prerouting) = chain("raw_prerouting").and(chain("prerouting")) else {
            return Some(Seen::Open);
        };
        if found.table.dormant {
            return Some(Seen::Open);
        }
        if !prerouting.looks_in.contains(names::TRIAL) {
            return Some(Seen::Stands);
        }
        let left = self.netlink.read(&Set::new(TABLE, names::TRIAL, Kind::Number)).ok()?;
        Some(if left.is_empty() { Seen::Open } else { Seen::OnTrial })
    }

    /// Whether our table is in the kernel, whoever put it there.
    pub fn table_is_there(&mut self) -> bool {
        self.netlink.table_exists(TABLE).unwrap_or(false)
    }
}

/// The most flows that the kernel tracks; a low value if it cannot be read.
fn conntrack_max() -> u32 {
    const FEW: u32 = 16_384;
    let paths = ["/proc/sys/net/netfilter/nf_conntrack_max", "/proc/sys/net/nf_conntrack_max"];
    let read = |path| std::fs::read_to_string(path).ok()?.trim().parse().ok();
    paths.into_iter().find_map(read).unwrap_or(FEW)
}

fn key(flow: &LiveFlow) -> FlowKey {
    let (peer, peer_port, protocol) = (flow.peer, flow.peer_port, flow.protocol.number());
    FlowKey { peer, protocol, peer_port, local_port: flow.local_port }
}

/// What of ours is in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// No table.
    Gone,
    /// The table, and it judges.
    Stands,
    /// The table, and it judges until the time of its trial is over.
    OnTrial,
    /// A table that lets everything through: its trial is over, or it was never finished.
    Open,
}

/// Whether a table like ours could be loaded here. Changes nothing.
///
/// # Errors
/// `nft` is not installed, or the kernel does not let us.
pub fn require_nftables() -> Result<(), Failure> {
    let text = format!("add table inet {TABLE}\n");
    nightlatch_netfilter::text::check(&text)
        .map_err(|error| Failure::failed(format!("nothing was changed: {error}")))
}

/// Watches the kernel's rulesets and calls `on_change` for every change, in a thread of its own, until
/// that returns `false`. While `firewall` makes a large change itself, nobody listens: otherwise the
/// kernel would tell of each element.
///
/// # Errors
/// No netlink socket can be had.
pub fn watch(
    firewall: &mut Firewall,
    mut on_change: impl FnMut(Change) -> bool + Send + 'static,
) -> Result<(), NetlinkError> {
    let mut monitor = Monitor::open()?;
    monitor.pause_for(&mut firewall.netlink);
    std::thread::spawn(move || {
        loop {
            // So long it may take until it is noticed that something was missed in a pause.
            match monitor.next(Duration::from_secs(1)) {
                Ok(None) => {}
                Ok(Some(change)) => {
                    if !on_change(change) {
                        return;
                    }
                }
                // The kernel lane looks for itself every few seconds, so nothing is missed for long.
                Err(_) => std::thread::sleep(Duration::from_secs(1)),
            }
        }
    });
    Ok(())
}
