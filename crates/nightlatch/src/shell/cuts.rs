//! Cutting running flows in the kernel.
//!
//! When the firewall has just come up, connection tracking has seen running calls for only a few
//! milliseconds, perhaps without any packet of this host. So media streams are checked twice before
//! they are cut.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use nightlatch_core::action::Flows;
use nightlatch_core::cut::{Cutter, LiveFlow};
use nightlatch_core::policy::World;

use super::beginnings::Beginnings;
use super::clock::Stopwatch;
use super::firewall::Firewall;

/// How long to wait for a packet of this host in a media stream before it is cut. Media packets are
/// sent every 20 to 60 ms; during silence, some codecs send less often.
const MEDIA_TIMEOUT: Duration = Duration::from_secs(2);

/// The media streams to be checked again.
#[derive(Debug, Default)]
pub struct Cuts {
    doubtful: Option<(Stopwatch, BTreeSet<Stream>)>,
}

/// A UDP flow: the peer, its port and this host's port.
type Stream = (IpAddr, u16, u16);

impl Cuts {
    /// Cuts those of the running flows in scope that would be dropped now; media streams of strangers
    /// only after a second check, see [`Cuts::due_in`].
    ///
    /// # Errors
    /// The kernel's error. The flows that were found are cut anyway.
    pub fn cut(
        &mut self,
        firewall: &mut Firewall,
        beginnings: &Beginnings,
        world: World<'_>,
        flows: Flows,
    ) -> Result<(), String> {
        let (mut ending, mut doubtful) = (Vec::new(), BTreeSet::new());
        let catalogue = world.catalogue;
        let cutter = Cutter::new(world, flows);
        let looked = beginnings.for_each_flow(firewall, catalogue, |flow| {
            if cutter.is_in_doubt(&flow) {
                doubtful.insert(stream(&flow));
            } else if cutter.must_end(&flow) {
                ending.push(flow);
            }
        });
        if !doubtful.is_empty() {
            let again = self.doubtful.get_or_insert_with(|| (Stopwatch::start(), BTreeSet::new()));
            again.1.extend(doubtful);
        }
        firewall.cut(&ending).and(looked)
    }

    /// The time until [`Cuts::look_again`] is due; `None` if no stream is in doubt.
    pub fn due_in(&self) -> Option<Duration> {
        let (since, _) = self.doubtful.as_ref()?;
        Some(MEDIA_TIMEOUT.saturating_sub(since.elapsed()))
    }

    /// Cuts the media streams in which this host has still sent nothing.
    ///
    /// # Errors
    /// As [`Cuts::cut`].
    pub fn look_again(
        &mut self,
        firewall: &mut Firewall,
        beginnings: &Beginnings,
        world: World<'_>,
    ) -> Result<(), String> {
        let Some((_, doubtful)) = self.doubtful.take() else { return Ok(()) };
        if !world.ledger.protection.stands() {
            return Ok(());
        }
        let mut ending = Vec::new();
        let catalogue = world.catalogue;
        let cutter = Cutter::new(world, Flows::BegunByPeers);
        let looked = beginnings.for_each_flow(firewall, catalogue, |flow| {
            if doubtful.contains(&stream(&flow)) && cutter.is_in_doubt(&flow) {
                ending.push(flow);
            }
        });
        firewall.cut(&ending).and(looked)
    }
}

fn stream(flow: &LiveFlow) -> Stream {
    (flow.peer, flow.peer_port, flow.local_port)
}
