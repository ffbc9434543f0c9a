//! What to put up at boot.

use nightlatch_core::config::{Config, Rate};
use nightlatch_core::engine::Engine;
use nightlatch_core::features::{State, firewall};
use nightlatch_core::learned::Lasting;
use nightlatch_core::posture::Protection;
use nightlatch_core::product::Product;
use nightlatch_core::ruleset::{OpenServices, Ruleset};
use nightlatch_core::time::Time;

/// The table to load after a boot and what was learned before it; `None` if the firewall is
/// off.
///
/// A trial that nobody confirmed before the machine went down is over: what stood before it
/// stands again.
pub(super) fn at_boot(
    mut state: State,
    config: Config,
    now: Time,
    restore: impl FnOnce(&mut Engine),
) -> Option<(Ruleset, Vec<Lasting>)> {
    match state.posture().protection {
        Protection::Trial { before: None, .. } => return None,
        Protection::Trial { before: Some(mode), since, .. } => {
            state.apply(firewall::set_mode(mode));
            state.apply(firewall::set_protection(Protection::On { since }));
        }
        Protection::Off | Protection::On { .. } => {}
    }
    let mut engine = Engine::new(state, config);
    restore(&mut engine);
    Some((engine.desired(now)?, engine.put_back(now)))
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
        admissions: Vec::new(),
        per_source: Rate { packets: 20, burst: 100 },
        total: Rate { packets: 500, burst: 1000 },
    });
    ruleset
}
