//! From the state to the desired table, from nothing.

use std::sync::Arc;

use nightlatch_parse::ranges::RangeList;

use super::table::{Target, hours_name};
use super::{
    Admission, HostPorts, OpenServices, Ruleset, Structure, Table, beginning_of_day, knocks,
    windows,
};
use crate::knock::Sequences;
use crate::policy::{Answer, World, limited_among, limited_to_strangers, open_to_strangers};
use crate::posture::Mode;

/// The table that gives every packet the verdict of [`crate::policy::judge`].
///
/// Accounts, blocks and denials may overlap freely; the result is disjoint ranges, each with one
/// answer, so that the kernel needs one lookup whatever their number. `n log n`.
///
/// `lists` is [`crate::features::State::lists`], which is kept because it may be long.
pub fn compile(world: &World<'_>, lists: Arc<RangeList>) -> Ruleset {
    let table = Table::compile(world.state, world.now);
    Ruleset::flat(structure(world, &table), &table, lists)
}

impl Ruleset {
    /// The ruleset of a table that is kept.
    pub fn flat(structure: Structure, table: &Table, lists: Arc<RangeList>) -> Ruleset {
        let mut ruleset = Ruleset { structure, lists, ..Ruleset::default() };
        for (range, target) in table.iter() {
            ruleset.accounts.extend(target.chain.clone().map(|chain| (range, chain)));
            ruleset.closed.extend(target.closure.clone().map(|closure| (range, closure)));
            ruleset.excepted.extend(target.answer.excepted.then_some(range));
        }
        ruleset
    }
}

/// Chains and rules, with the chains that a table leads to.
pub fn structure(world: &World<'_>, table: &Table) -> Structure {
    structure_with(world, table, &world.state.knocks())
}

/// The same where only some of the users can knock.
pub(crate) fn structure_with(world: &World<'_>, table: &Table, sequences: &Sequences) -> Structure {
    let mut structure = Structure {
        trial: world.state.posture().protection.opens_by_itself(),
        ports: HostPorts::of(world),
        ..Structure::default()
    };
    structure.open = (world.state.posture().mode == Mode::Open).then(|| OpenServices {
        opening: open_to_strangers(world.rules, world.catalogue),
        limited: limited_to_strangers(world.rules, world.catalogue),
        admissions: admissions(world),
        per_source: world.rules.per_source,
        total: world.rules.total,
    });
    table.add_chains(&mut structure, world);
    knocks::add(&mut structure, sequences, world);
    structure.watched = world.state.watched();
    for kind in &structure.watched.clone().leases {
        Target::of(Answer::of_lease(kind)).add_chains(&mut structure, world);
    }
    structure.limits = world.state.limits();
    structure.limited = structure
        .limits
        .of
        .iter()
        .map(|limited| {
            let names = limited.services();
            (*limited, world.catalogue.opening(&names).ports)
        })
        .collect();
    let has_windows = structure.has_open_hours()
        || structure.conditions.values().any(|chain| chain.windows.is_some());
    structure.windows_from = has_windows.then(|| beginning_of_day(world.now));
    structure
}

/// What strangers reach at any time, and during which hours they reach more.
fn admissions(world: &World<'_>) -> Vec<Admission> {
    let catalogue = world.catalogue;
    let always = Admission {
        chain: None,
        windows: Vec::new(),
        opening: catalogue.opening(world.rules.always_open()),
        limited: limited_among(world.rules.always_open(), catalogue),
    };
    let by_hours = world.rules.open_by_hours().into_iter();
    let by_hours = by_hours.map(|(hours, names)| Admission {
        chain: Some(format!("open.{}", hours_name(hours))),
        windows: windows(hours, world.now),
        opening: catalogue.opening(names.iter().copied()),
        limited: limited_among(names.iter().copied(), catalogue),
    });
    std::iter::once(always).chain(by_hours).collect()
}
