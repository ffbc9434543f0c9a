//! Reads, saves and restores the peers that the kernel learns from this host's own packets, and the
//! containers whose packets count as this host's.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use nightlatch_core::action::{Level, Project};
use nightlatch_core::event::Event;
use nightlatch_core::signalling::{Learned, Peer};

use super::State;
use crate::features::up;
use crate::shell::clock::Stopwatch;
use crate::shell::{journal, known_peers};

/// The shortest time between two lookups of the published ports: rulesets often change in bursts.
const PUBLISHED_MIN_INTERVAL: Duration = Duration::from_secs(15);

impl State {
    /// Restores the known peers: from the kernel if its table was still loaded, else from the file.
    pub(super) fn recall_peers(&mut self, stood: bool) {
        if let Some(peers) = stood.then(|| self.firewall.learned()).flatten() {
            self.take_in(peers);
        } else {
            self.engine.restore_learned(load_known_peers(&self.known_peers));
        }
    }

    /// Reads which peers the kernel has learned, and saves them; ignored if another program has just
    /// changed the table.
    pub(super) fn read_peers(&mut self) {
        self.peers_read = Stopwatch::start();
        if !self.engine.ledger().protection.stands() || self.firewall.verify(None).is_some() {
            return;
        }
        let Some(peers) = self.firewall.learned() else { return };
        if self.firewall.verify(None).is_some() {
            return;
        }
        self.take_in(peers);
        self.save_peers();
    }

    fn take_in(&mut self, peers: Vec<(Peer, Duration)>) {
        let now = self.clock.now();
        let peers = peers.into_iter().map(|(peer, left)| (peer, now.after(left)));
        self.feed(Event::Learned(peers.collect()));
    }

    pub(super) fn save_peers(&mut self) {
        if let Err(error) = self.known_peers.save(self.engine.learned(), self.clock.now()) {
            let message = format!(
                "could not save the known peers: {error}; after a reboot they are unknown until this host sends to them again"
            );
            journal::tell(Level::Warning, &message);
        }
    }

    /// Looks up in the background to which containers ports are published, unless done recently.
    pub(super) fn look_up_published(&mut self) {
        if self.published_read.is_some_and(|read| read.elapsed() < PUBLISHED_MIN_INTERVAL) {
            return;
        }
        self.published_read = Some(Stopwatch::start());
        self.published_wanted = false;
        self.background(up::survey::published_in_background);
    }

    pub(super) fn publish(&mut self, published: BTreeSet<SocketAddr>) {
        let done = match self.firewall.publish(published) {
            Ok(true) if self.engine.ledger().protection.stands() => {
                self.project(Project::Difference)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            let message = format!(
                "could not load the published container ports into the kernel: {error}; peers of containers may stay unknown"
            );
            journal::tell(Level::Warning, &message);
        }
    }
}

/// The saved peers.
pub(crate) fn load_known_peers(saved: &known_peers::Saved) -> Learned {
    saved.load().unwrap_or_else(|error| {
        let message = format!("could not read the saved peers: {error}; they are unknown until this host sends to them again");
        journal::tell(Level::Warning, &message);
        Learned::default()
    })
}
