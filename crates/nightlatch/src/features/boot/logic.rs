//! What to put up at boot.

use std::time::Duration;

use nightlatch_core::config::{Rate, Rules};
use nightlatch_core::engine::Engine;
use nightlatch_core::ledger::{Ledger, Protection};
use nightlatch_core::product::Product;
use nightlatch_core::ruleset::{OpenServices, Ruleset};
use nightlatch_core::signalling::Peer;
use nightlatch_core::time::Time;

/// The table to load after a boot and the peers that were known before it; `None` if the firewall is
/// off.
///
/// A trial that nobody confirmed before the machine went down is over: what stood before it
/// stands again.
pub(super) fn at_boot(
    mut ledger: Ledger,
    rules: Rules,
    now: Time,
    restore: impl FnOnce(&mut Engine),
) -> Option<(Ruleset, Vec<(Peer, Duration)>)> {
    match ledger.protection {
        Protection::Trial { before: None, .. } => return None,
        Protection::Trial { before: Some(mode), since, .. } => {
            ledger.mode = mode;
            ledger.protection = Protection::On { since };
        }
        Protection::Off | Protection::On { .. } => {}
    }
    let mut engine = Engine::new(ledger, rules);
    restore(&mut engine);
    Some((engine.desired(now)?, engine.known_peers(now)))
}

/// When nothing can be read any more: closed, but for SSH under a narrow limit, so that the
/// administrator gets in and nobody guesses passwords fast.
pub(super) fn emergency() -> Ruleset {
    let ssh = "ssh".parse().ok();
    let opening = Product::default().catalogue().opening(&ssh);
    let mut ruleset = Ruleset::default();
    ruleset.structure.open = Some(OpenServices {
        limited: opening.clone(),
        opening,
        per_source: Rate { packets: 20, burst: 100 },
        total: Rate { packets: 500, burst: 1000 },
    });
    ruleset
}
