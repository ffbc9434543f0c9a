//! What a start finds on disk.

use nightlatch_core::engine::Engine;
use nightlatch_core::time::Time;

use crate::features;
use crate::shell::kept::Kept;

/// Takes in the lists that were kept, so that nothing waits for the network.
pub(crate) fn restore_lists(engine: &mut Engine, kept: &Kept, now: Time) {
    let events = features::kept(engine.state(), kept);
    engine.restore(events, now);
}
