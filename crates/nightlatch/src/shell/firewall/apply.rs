//! From one ruleset to the next.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use nightlatch_core::ruleset::{ListSet, ListSets, Structure, TABLE, names, render};
use nightlatch_netfilter::{Element, Key, Kind, Monitor, Netlink, Set, Structure as Found, text};

use super::is_after;

/// The numbers of the families in the kernel (`linux/netfilter.h`).
const FAMILIES: [u8; 2] = [2, 10];

/// How often chains and rules are loaded until it is certain that what stands is what was loaded.
const LOADS: u32 = 5;
const REMOVED: &str = "it is not there after it was loaded: another program removes it";

/// Up to where the kernel's count of changes is known to be ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    /// The kernel's count of changes up to which all was seen to be well.
    pub(super) generation: u32,
    /// How many of the changes up to then were our own, at least.
    pub(super) own: u32,
    /// The kernel's count when the long lists were loaded, or when they were last known to be well by
    /// the count or by all that was told of.
    pub(super) loaded: u32,
    /// Whether the long lists are known to be well by the count, and not by samples.
    pub(super) is_certain: bool,
}

impl Counted {
    /// The count now, before we change something.
    pub(super) fn now(netlink: &mut Netlink) -> Result<Counted, String> {
        let generation = netlink.generation().map_err(|error| error.to_string())?;
        let own = netlink.own_changes();
        Ok(Counted { generation, own, loaded: generation, is_certain: true })
    }

    /// Advances to the present count, if the kernel has counted no changes but our own since.
    /// Otherwise what was known before is all that is known now: what the other program did is still
    /// to be told of, and judged then.
    pub(super) fn advance(&mut self, netlink: &mut Netlink) -> Result<bool, String> {
        let now = Counted::now(netlink)?;
        let changes = now.generation.wrapping_sub(self.generation);
        let alone = changes <= now.own.wrapping_sub(self.own);
        if alone {
            let loaded = if self.is_certain { now.generation } else { self.loaded };
            *self = Counted { loaded, is_certain: self.is_certain, ..now };
        }
        Ok(alone)
    }
}

/// Loads chains and rules. Chains that elements in the kernel still lead to are kept until those
/// elements are gone, so that between the two transactions no account loses its services.
///
/// What is found right behind a load counts as ours only if the kernel has counted exactly one
/// change, the load itself, or told of no others than in others' tables: a rule that somebody slips
/// in between would otherwise stand for good. The fingerprint of an earlier load of the same text
/// could not tell, as it differs from load to load; so otherwise all is loaded again.
pub(super) fn load_structure(
    netlink: &mut Netlink,
    old: Option<&Structure>,
    desired: &Structure,
) -> Result<Found, String> {
    let mut structure = desired.clone();
    for (name, chain) in old.iter().flat_map(|old| &old.chains) {
        structure.chains.entry(name.clone()).or_insert_with(|| chain.clone());
    }
    for (name, chain) in old.iter().flat_map(|old| &old.conditions) {
        structure.conditions.entry(name.clone()).or_insert_with(|| chain.clone());
    }
    for (name, granted) in old.iter().flat_map(|old| &old.closures) {
        structure.closures.entry(name.clone()).or_insert_with(|| granted.clone());
    }
    let mut text = render(&structure);
    let limit = |structure: &Structure| structure.open.as_ref().map(|open| open.per_source);
    if old.is_none_or(|old| limit(old) != limit(&structure)) {
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
pub(super) fn set_trial(netlink: &mut Netlink, lasts: Option<Duration>) -> Result<(), String> {
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
pub(super) fn remove_stale(netlink: &mut Netlink, desired: &Structure) -> Result<(), String> {
    let found = netlink.structure(TABLE).map_err(|error| error.to_string())?;
    let Some(found) = found else { return Ok(()) };
    let mut text = String::new();
    let stale = Stale::beside(desired);
    let chains = found.chains.iter().filter(|chain| stale.has(&chain.name));
    // Some jump to others: first all rules, then the chains.
    for action in ["flush", "delete"] {
        for chain in chains.clone() {
            let _ = writeln!(text, "{action} chain inet {TABLE} {}", chain.name);
        }
    }
    for set in found.sets.iter().filter(|set| stale.has(set)) {
        let _ = writeln!(text, "delete set inet {TABLE} {set}");
    }
    if text.is_empty() { Ok(()) } else { text::load(&text).map_err(|error| error.to_string()) }
}

/// What is no longer needed: chains of accounts and closures and sets of knocks, which have a dot in their
/// name, list sets that were replaced, and sets of older versions.
struct Stale<'a> {
    named: BTreeSet<String>,
    list_sets: &'a ListSets,
}

impl Stale<'_> {
    fn beside(desired: &Structure) -> Stale<'_> {
        let sets = desired.knocks.sets().map(|(set, _)| set);
        Stale {
            named: desired.changing_chains().chain(sets).collect(),
            list_sets: &desired.list_sets,
        }
    }

    fn has(&self, name: &str) -> bool {
        (name.contains('.') && !self.named.contains(name))
            || (ListSet::is_name_of_one(name) && !self.list_sets.all().any(|set| set.name == name))
            || names::RETIRED.contains(&name)
    }
}

/// The base chains of the table.
const BASE_CHAINS: [&str; 5] = ["guard", "gate", "late", "sending", "leaving"];

/// Reads chains and rules back. What is found is ours if its rules are those of the load; otherwise
/// the load is all that is known.
pub(super) fn read_back(
    netlink: &mut Netlink,
    loaded: Found,
    desired: &Structure,
    counted: &mut Counted,
) -> Result<Found, String> {
    // First the count, then the look: a change in between makes the count differ next time.
    let mut now = *counted;
    let alone = now.advance(netlink)?;
    let found = netlink.structure(TABLE).map_err(|error| error.to_string())?;
    let found = found.ok_or(REMOVED)?;
    for chain in desired.changing_chains().chain(BASE_CHAINS.map(str::to_owned)) {
        if !found.chains.iter().any(|there| there.name == chain) {
            return Err(format!("read back, the chain {chain} is missing"));
        }
    }
    if found.table.dormant {
        return Err("read back, the table is dormant".to_owned());
    }
    // What is stale we have removed ourselves since the load.
    let stale = Stale::beside(desired);
    let is_ours = found.is_left_of(&loaded, |name| stale.has(name));
    if is_ours && alone {
        *counted = now;
    }
    Ok(if is_ours { found } else { loaded })
}
