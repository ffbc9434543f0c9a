//! From one ruleset to the next.

use std::fmt::Write as _;
use std::time::Duration;

use nightlatch_core::ruleset::{
    ListSet, ListSets, Ruleset, Structure, TABLE, names, render, render_hush,
};
use nightlatch_netfilter::{Element, Key, Kind, Netlink, Set, text};

use super::lists::{self, Known};
use super::{Standing, elements};

/// The numbers of the families in the kernel (`linux/netfilter.h`).
const FAMILIES: [u8; 2] = [2, 10];

/// Puts chains and rules back. Says whether the table was gone, and now stands without its lists:
/// then closed, whatever is open to strangers otherwise.
pub(super) fn close(netlink: &mut Netlink, stood: &Ruleset) -> Result<bool, String> {
    let gone = !standing(netlink)?;
    let mut structure = stood.structure.clone();
    structure.open = structure.open.filter(|_| !gone);
    if gone {
        text::load(&render_hush()).map_err(|error| error.to_string())?;
    }
    text::load(&render(&structure)).map_err(|error| error.to_string())?;
    Ok(gone)
}

/// What is known of the kernel's table before it is changed.
#[derive(Clone, Debug)]
pub(super) struct Begin<'a> {
    /// All of it, where we left it so.
    pub(super) old: Option<&'a Ruleset>,
    /// Whether it stands without its lists, by [`close`].
    pub(super) closed: bool,
    /// Whether at least the long lists are the desired ones, and in which sets they are.
    pub(super) lists_stand: Option<ListSets>,
}

/// Makes the kernel's table what `desired` says.
pub(super) fn apply(
    netlink: &mut Netlink,
    begin: Begin<'_>,
    desired: &mut Ruleset,
    trial: Option<Duration>,
) -> Result<(), String> {
    let Begin { old, closed, lists_stand } = begin;
    // A table that begins, begins closed: what is open to strangers opens when the lists are there
    // that keep the worst of them out.
    let begins = old.is_none() && (closed || !standing(netlink)?);
    if begins && !closed {
        text::load(&render_hush()).map_err(|error| error.to_string())?;
    }
    let stand = old.map(|old| &old.structure.list_sets).or(lists_stand.as_ref());
    let suit = |sets: &&ListSets| {
        old.is_none_or(|old| old.lists == desired.lists) || sets.suit(&desired.lists)
    };
    let kept = stand.filter(suit).cloned();
    let put_together = kept.is_none() && !begins;
    desired.structure.list_sets = match kept {
        Some(sets) => sets,
        None if begins => ListSets::suiting(&desired.lists),
        None => lists::put_together(netlink, &desired.lists)?,
    };
    let anew = old.is_none_or(|old| old.structure != desired.structure);
    let closed = begins && desired.structure.open.is_some();
    if closed {
        let mut first = desired.clone();
        first.structure.open = None;
        load_structure(None, &first)?;
    } else if anew {
        load_structure(old, desired)?;
    }
    elements::bring(netlink, old, desired)?;
    if !put_together && (lists_stand.is_none() || begins) {
        lists::bring(netlink, old.map_or(Known::Empty, Known::As), desired)?;
    }
    if closed {
        load_structure(None, desired)?;
    }
    // During a trial each time anew: it may have been asked to last longer.
    if desired.structure.trial || old.is_none_or(|old| old.structure.trial) {
        set_trial(netlink, trial.filter(|_| desired.structure.trial))?;
    }
    remove_stale(netlink, desired)
}

/// Whether a table of ours is in the kernel.
fn standing(netlink: &mut Netlink) -> Result<bool, String> {
    netlink.table_exists(TABLE).map_err(|error| error.to_string())
}

/// Loads chains and rules. Chains that elements in the kernel still lead to are kept until those
/// elements are gone, so that between the two transactions no account loses its services.
fn load_structure(old: Option<&Ruleset>, desired: &Ruleset) -> Result<(), String> {
    let mut structure = desired.structure.clone();
    for (name, chain) in old.iter().flat_map(|old| &old.structure.chains) {
        structure.chains.entry(name.clone()).or_insert_with(|| chain.clone());
    }
    let mut text = render(&structure);
    let limit = |structure: &Structure| structure.open.as_ref().map(|open| open.per_source);
    if old.is_none_or(|old| limit(&old.structure) != limit(&structure)) {
        // A source that is being counted keeps the limit it was first counted under.
        for meter in [names::METER_V4, names::METER_V6] {
            let _ = writeln!(text, "flush set inet {TABLE} {meter}");
        }
    }
    text::load(&text).map_err(|error| error.to_string())
}

/// While the families are in this set the table judges; when they have run out, it lets
/// everything through, as before the trial. The kernel counts the time, so it needs nobody.
fn set_trial(netlink: &mut Netlink, lasts: Option<Duration>) -> Result<(), String> {
    let set = Set::new(TABLE, names::TRIAL, Kind::Number);
    let mut transaction = netlink.transaction();
    transaction.flush(&set);
    if let Some(lasts) = lasts {
        // A timeout of nothing would be none at all.
        let lasts = lasts.max(Duration::from_millis(1));
        let element = |family| Element::from(Key::Number(family)).lasting(lasts);
        transaction.add(&set, FAMILIES.map(element));
    }
    transaction.commit().map_err(|error| error.to_string())
}

/// Removes what nothing leads to any more: chains of accounts, and sets that held the lists.
fn remove_stale(netlink: &mut Netlink, desired: &Ruleset) -> Result<(), String> {
    let Structure { chains, list_sets, .. } = &desired.structure;
    let found = netlink.structure(TABLE).map_err(|error| error.to_string())?;
    let Some(found) = found else { return Ok(()) };
    let mut text = String::new();
    for chain in found.chains {
        // Only chains that accounts lead to come and go; they have a dot in their name.
        if chain.name.contains('.') && !chains.contains_key(&chain.name) {
            let _ = writeln!(text, "delete chain inet {TABLE} {}", chain.name);
        }
    }
    for set in found.sets {
        let is_list = [false, true].iter().any(|place| ListSet::is_of_place(&set, *place));
        if is_list && !list_sets.all().any(|desired| desired.name == set) {
            let _ = writeln!(text, "delete set inet {TABLE} {set}");
        }
    }
    if text.is_empty() { Ok(()) } else { text::load(&text).map_err(|error| error.to_string()) }
}

/// Above so many account ranges a change is not followed by reading all of them back: the kernel
/// lists a long set in quadratic time (0.3 s for 100,000), and it has acknowledged each element.
const MANY: usize = 50_000;

/// Reads the table back and compares; the lists of accounts and blocks always where the table was
/// made anew, and after a change unless they are very long.
pub(super) fn read_back(
    netlink: &mut Netlink,
    anew: bool,
    desired: Ruleset,
) -> Result<Standing, String> {
    // First the count, then the look: a change in between makes the count differ next time.
    let generation = netlink.generation().map_err(|error| error.to_string())?;
    let found = netlink.structure(TABLE).map_err(|error| error.to_string())?;
    let found = found.ok_or("it is not there after it was loaded: another program removes it")?;
    for chain in
        desired.structure.chains.keys().map(String::as_str).chain(["guard", "gate", "late"])
    {
        if !found.chains.iter().any(|there| there.name == chain) {
            return Err(format!("read back, the chain {chain} is missing"));
        }
    }
    if found.table.dormant {
        return Err("read back, the table is dormant".to_owned());
    }
    let few = desired.accounts.len() + desired.blocks.len() <= MANY;
    if (anew || few) && !elements::all_match(netlink, &desired) {
        return Err("read back, the lists are not what was written".to_owned());
    }
    Ok(Standing { ruleset: desired, digest: found.digest, generation, loaded: generation })
}
