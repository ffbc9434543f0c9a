//! Restores what was learned before the daemon began.

use std::time::Duration;

use nightlatch_core::action::Level;
use nightlatch_core::engine::Engine;
use nightlatch_core::learned::{self, LearnedSets};

use crate::shell::clock::Clock;
use crate::shell::firewall::{Firewall, Seen};
use crate::shell::{journal, known_peers};

/// The shortest time between two lookups of the published ports: rulesets often change in bursts.
pub(super) const PUBLISHED_MIN_INTERVAL: Duration = Duration::from_secs(15);

/// Restores learned state: from the kernel if its table was still loaded, else from the file.
pub(super) fn recall(
    engine: &mut Engine,
    firewall: &mut Firewall,
    saved: &known_peers::Saved,
    clock: &Clock,
) {
    // A table that lets everything through guarded nothing.
    let stood = matches!(firewall.seen(), Some(Seen::Stands | Seen::OnTrial));
    let declared: Vec<_> = learned::all_read().collect();
    let sets = match stood.then(|| firewall.learned(&declared)).flatten() {
        Some(elements) => {
            let now = clock.now();
            elements.iter().map(|element| element.until(now)).collect()
        }
        None => load_known_peers(saved),
    };
    engine.restore_learned(sets);
}

/// The saved peers.
pub(crate) fn load_known_peers(saved: &known_peers::Saved) -> LearnedSets {
    saved.load().unwrap_or_else(|error| {
        let message = format!("could not read the saved peers: {error}; they are unknown until this host sends to them again");
        journal::tell(Level::Warning, &message);
        LearnedSets::default()
    })
}
