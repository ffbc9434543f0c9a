//! Cutting running flows in the kernel.

use nightlatch_core::action::Flows;
use nightlatch_core::cut::Cutter;
use nightlatch_core::policy::World;

use super::beginnings::Beginnings;
use super::firewall::Firewall;

/// Cuts those of the running flows in scope that would be dropped now.
///
/// # Errors
/// The kernel's error. The flows that were found are cut anyway.
pub fn cut(
    firewall: &mut Firewall,
    beginnings: &Beginnings,
    world: World<'_>,
    flows: Flows,
) -> Result<(), String> {
    let catalogue = world.catalogue;
    let cutter = Cutter::new(world, flows);
    let mut ending = Vec::new();
    let looked = beginnings.for_each_flow(firewall, catalogue, |flow| {
        if cutter.must_end(&flow) && !cutter.ends_uncut(&flow) {
            ending.push(flow);
        }
    });
    firewall.cut(&ending).and(looked)
}
