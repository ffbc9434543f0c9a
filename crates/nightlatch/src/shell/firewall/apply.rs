//! From one ruleset to the next.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use nightlatch_core::ruleset::{ListSet, ListSets, Ruleset, Structure, TABLE, names, render};
use nightlatch_netfilter::{Element, Key, Kind, Monitor, Netlink, Set, Structure as Found, text};

use super::lists::{self, InPlace};
use super::{Standing, elements, is_after};

/// The numbers of the families in the kernel (`linux/netfilter.h`).
const FAMILIES: [u8; 2] = [2, 10];

/// Puts chains and rules back. Says whether the table was gone, and now stands without its lists:
/// then closed, whatever is open to strangers otherwise.
pub(super) fn close(netlink: &mut Netlink, stood: &Ruleset) -> Result<bool, String> {
    let gone = !standing(netlink)?;
    let mut structure = stood.structure.clone();
    structure.open = structure.open.filter(|_| !gone);
    text::load(&render(&structure)).map_err(|error| error.to_string())?;
    Ok(gone)
}

/// How often chains and rules are loaded until it is certain that what stands is what was loaded.
const LOADS: u32 = 5;
const REMOVED: &str = "it is not there after it was loaded: another program removes it";

/// What is known of the kernel's table before it is changed.
#[derive(Clone, Debug)]
pub(super) struct Begin<'a> {
    /// All of it, where we left it so.
    pub(super) old: Option<&'a Standing>,
    /// Whether it stands without its lists, by [`close`].
    pub(super) closed: bool,
    /// Whether at least the long lists are the desired ones, in which sets they are, and the
    /// kernel's count of changes at which that is so.
    pub(super) lists_stand: Option<(ListSets, u32)>,
}

/// Chains and rules of which it is certain that they are ours, and since when it is so of the long
/// lists.
#[derive(Debug)]
pub(super) struct Known {
    structure: Found,
    /// As [`Standing`] has them.
    generation: u32,
    loaded: u32,
    own: Option<u32>,
}

impl From<Standing> for Known {
    fn from(standing: Standing) -> Known {
        let Standing { structure, generation, loaded, own, .. } = standing;
        Known { structure, generation, loaded, own }
    }
}

/// Makes the kernel's table what `desired` says. Gives what is known of it where chains and rules
/// were loaded.
pub(super) fn apply(
    netlink: &mut Netlink,
    begin: Begin<'_>,
    desired: &mut Ruleset,
    trial: Option<Duration>,
) -> Result<Option<Known>, String> {
    let Begin { old, closed, lists_stand } = begin;
    // Counted before anything is done: what another program does to the lists while chains and
    // rules are loaded, and loaded again, must not be taken for ours.
    let generation = netlink.generation().map_err(|error| error.to_string())?;
    let now = (generation, generation, Some(netlink.own_changes()));
    let lists_stand = lists_stand.filter(|(_, seen)| *seen == generation).map(|(sets, _)| sets);
    let before = old.map(|standing| (standing.generation, standing.loaded, standing.own));
    let old = old.map(|standing| &standing.ruleset);
    let mut loaded = None;
    // A table that begins, begins closed: what is open to strangers opens when the lists are there
    // that keep the worst of them out.
    let begins = old.is_none() && (closed || !standing(netlink)?);
    let in_place = lists::place(netlink, begins, old, lists_stand.as_ref(), desired)?;
    let anew = old.is_none_or(|old| old.structure != desired.structure);
    let closed = begins && desired.structure.open.is_some();
    if closed {
        let mut first = desired.clone();
        first.structure.open = None;
        load_structure(netlink, None, &first)?;
    } else if anew {
        loaded = Some(load_structure(netlink, old, desired)?);
    }
    elements::bring(netlink, old, desired)?;
    if in_place == InPlace::ToBeBrought {
        lists::bring(netlink, old, desired)?;
    }
    if closed {
        loaded = Some(load_structure(netlink, None, desired)?);
    }
    // During a trial each time anew: it may have been asked to last longer.
    if desired.structure.trial || old.is_none_or(|old| old.structure.trial) {
        set_trial(netlink, trial.filter(|_| desired.structure.trial))?;
    }
    remove_stale(netlink, desired)?;
    let (generation, loaded_at, own) =
        before.filter(|_| in_place != InPlace::PutTogether).unwrap_or(now);
    Ok(loaded.map(|structure| Known { structure, generation, loaded: loaded_at, own }))
}

/// Whether a table of ours is in the kernel.
fn standing(netlink: &mut Netlink) -> Result<bool, String> {
    netlink.table_exists(TABLE).map_err(|error| error.to_string())
}

/// Loads chains and rules. Chains that elements in the kernel still lead to are kept until those
/// elements are gone, so that between the two transactions no account loses its services.
///
/// What is found right behind a load counts as ours only if the kernel has counted exactly one
/// change, the load itself, or told of no others than in others' tables: a rule that somebody slips
/// in between would otherwise stand for good. The fingerprint of an earlier load of the same text
/// could not tell, as it differs from load to load; so otherwise all is loaded again.
fn load_structure(
    netlink: &mut Netlink,
    old: Option<&Ruleset>,
    desired: &Ruleset,
) -> Result<Found, String> {
    let mut structure = desired.structure.clone();
    for (name, chain) in old.iter().flat_map(|old| &old.structure.chains) {
        structure.chains.entry(name.clone()).or_insert_with(|| chain.clone());
    }
    for (name, granted) in old.iter().flat_map(|old| &old.structure.closures) {
        structure.closures.entry(name.clone()).or_insert_with(|| granted.clone());
    }
    let mut text = render(&structure);
    let limit = |structure: &Structure| structure.open.as_ref().map(|open| open.per_source);
    if old.is_none_or(|old| limit(&old.structure) != limit(&structure)) {
        // A source that is being counted keeps the limit it was first counted under.
        for meter in [names::METER_V4, names::METER_V6] {
            let _ = writeln!(text, "flush set inet {TABLE} {meter}");
        }
    }
    let mut monitor = None;
    for _ in 0..LOADS {
        let before = netlink.generation().map_err(|error| error.to_string())?;
        let others = without_others_hooks(netlink, &text)?;
        text::load(&(others + &text)).map_err(|error| error.to_string())?;
        let found = netlink.structure(TABLE).map_err(|error| error.to_string())?;
        let structure = found.ok_or(REMOVED)?;
        let alone = structure.generation == before.wrapping_add(1);
        if alone || monitor.as_mut().is_some_and(|it| is_untouched(it, netlink, before, &structure))
        {
            return Ok(structure);
        }
        // From the second time on, it listens to what the others do.
        monitor = monitor.or_else(|| Monitor::open().ok());
    }
    Err("it is loaded, but another program changes it all the time, so that it is not certain whose rules stand".to_owned())
}

/// Whether others changed nothing of our table from that count on until it was read.
fn is_untouched(monitor: &mut Monitor, netlink: &Netlink, before: u32, structure: &Found) -> bool {
    const PATIENCE: Duration = Duration::from_millis(200);
    loop {
        let Ok(Some(change)) = monitor.next(PATIENCE) else { return false };
        let Some(told) = change.generation.filter(|_| !change.lost) else { return false };
        let counts = is_after(Some(told), before) && !is_after(Some(told), structure.generation);
        if counts && change.touches(TABLE) && !netlink.has_made(&change) {
            return false;
        }
        if !is_after(Some(structure.generation), told) {
            return true;
        }
    }
}

/// The commands that remove the base chains of our table that `text` does not make: the kernel calls
/// them without any rule of ours, and with the policy "drop" they shut everybody out.
fn without_others_hooks(netlink: &mut Netlink, text: &str) -> Result<String, String> {
    let found = netlink.structure(TABLE).map_err(|error| error.to_string())?;
    let chains = found.into_iter().flat_map(|found| found.chains);
    let others = chains.filter(|chain| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let ours = text.contains(&format!("\tchain {} {{", chain.name));
        chain.base.is_some() && !ours && chain.name.bytes().all(plain)
    });
    Ok(others.fold(String::new(), |mut commands, chain| {
        let chain = format!("chain inet {TABLE} {}", chain.name);
        let _ = writeln!(commands, "flush {chain}\ndelete {chain}");
        commands
    }))
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

/// Removes what nothing leads to any more.
fn remove_stale(netlink: &mut Netlink, desired: &Ruleset) -> Result<(), String> {
    let found = netlink.structure(TABLE).map_err(|error| error.to_string())?;
    let Some(found) = found else { return Ok(()) };
    let mut text = String::new();
    let stale = Stale::beside(desired);
    for chain in found.chains.iter().filter(|chain| stale.has(&chain.name)) {
        let _ = writeln!(text, "delete chain inet {TABLE} {}", chain.name);
    }
    for set in found.sets.iter().filter(|set| stale.has(set)) {
        let _ = writeln!(text, "delete set inet {TABLE} {set}");
    }
    if text.is_empty() { Ok(()) } else { text::load(&text).map_err(|error| error.to_string()) }
}

/// What is no longer needed: chains of accounts and closures, which have a dot in their name, list sets
/// that were replaced, and sets of older versions.
struct Stale<'a> {
    chains: BTreeSet<String>,
    list_sets: &'a ListSets,
}

impl Stale<'_> {
    fn beside(desired: &Ruleset) -> Stale<'_> {
        let Structure { list_sets, .. } = &desired.structure;
        Stale { chains: desired.structure.changing_chains().collect(), list_sets }
    }

    fn has(&self, name: &str) -> bool {
        (name.contains('.') && !self.chains.contains(name))
            || (ListSet::is_name_of_one(name) && !self.list_sets.all().any(|set| set.name == name))
            || names::RETIRED.contains(&name)
    }
}

/// Above so many account ranges a change is not followed by reading all of them back: the kernel
/// lists a long set in quadratic time (0.3 s for 100,000), and it has acknowledged each element.
const MANY: usize = 50_000;

/// The base chains of the table.
const BASE_CHAINS: [&str; 5] = ["guard", "gate", "late", "sending", "leaving"];

/// Reads the table back and compares; the lists of accounts and blocks always where the table was
/// made anew, and after a change unless they are very long.
///
/// What is found is ours if its rules are those known to be; and lists that are too long to be read
/// back, if the kernel has counted no changes but our own since. Otherwise what was known before is
/// all that is known now: what the other program did is still to be told of, and judged then.
pub(super) fn read_back(
    netlink: &mut Netlink,
    anew: bool,
    known: Known,
    desired: Ruleset,
) -> Result<Standing, String> {
    // First the count, then the look: a change in between makes the count differ next time.
    let generation = netlink.generation().map_err(|error| error.to_string())?;
    let own = netlink.own_changes();
    let found = netlink.structure(TABLE).map_err(|error| error.to_string())?;
    let found = found.ok_or(REMOVED)?;
    for chain in desired.structure.changing_chains().chain(BASE_CHAINS.map(str::to_owned)) {
        if !found.chains.iter().any(|there| there.name == chain) {
            return Err(format!("read back, the chain {chain} is missing"));
        }
    }
    if found.table.dormant {
        return Err("read back, the table is dormant".to_owned());
    }
    let few = desired.accounts.len() + desired.closed.len() <= MANY;
    if (anew || few) && !elements::all_match(netlink, &desired) {
        return Err("read back, the lists are not what was written".to_owned());
    }
    // What is stale we have removed ourselves since the load.
    let stale = Stale::beside(&desired);
    let is_ours = found.is_left_of(&known.structure, |name| stale.has(name));
    let changes = generation.wrapping_sub(known.generation);
    let alone = known.own.is_some_and(|before| changes <= own.wrapping_sub(before));
    let structure = if is_ours { found } else { known.structure };
    let ruleset = desired;
    if is_ours && alone {
        let own = Some(own);
        return Ok(Standing { ruleset, structure, generation, loaded: generation, own });
    }
    let Known { generation, loaded, own, .. } = known;
    Ok(Standing { ruleset, structure, generation, loaded, own })
}
