//! Ending running flows in the kernel.
//!
//! Where the firewall has just come up, connection tracking has seen calls for some milliseconds
//! only, and perhaps not yet a packet of this host in them. So media streams are looked at twice
//! before they are cut.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use nightlatch_core::action::Flows;
use nightlatch_core::cut::{Cutter, LiveFlow};
use nightlatch_core::policy::World;

use super::beginnings::Beginnings;
use super::clock::Stopwatch;
use super::firewall::Firewall;

/// How long this host has time to send something in a media stream before it is cut. Media are sent
/// every 20 to 60 ms; in silence some codecs send less often.
const MEDIA_PATIENCE: Duration = Duration::from_secs(2);

/// The media streams that are looked at again.
#[derive(Debug, Default)]
pub struct Cuts {
    doubtful: Option<(Stopwatch, BTreeSet<Stream>)>,
}

/// A UDP flow: the peer, its port, this host's port.
type Stream = (IpAddr, u16, u16);

impl Cuts {
    /// Ends the running flows concerned that would be denied now; media streams of strangers only
    /// after a second look, see [`Cuts::due_in`].
    ///
    /// # Errors
    /// What the kernel said. What was found is cut all the same.
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

    /// In how long [`Cuts::look_again`] is due; `None` where nothing is in doubt.
    pub fn due_in(&self) -> Option<Duration> {
        let (since, _) = self.doubtful.as_ref()?;
        Some(MEDIA_PATIENCE.saturating_sub(since.elapsed()))
    }

    /// Ends the media streams in which this host has still sent nothing.
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
