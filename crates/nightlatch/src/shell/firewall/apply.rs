//! From one ruleset to the next.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use nightlatch_core::ruleset::{
    ListSet, ListSets, RENAMED_CHAINS, Structure, TABLE, names, render, render_judging_twice,
};
use nightlatch_netfilter::{
    Chain, Element, Key, Kind, Monitor, Netlink, Set, Structure as Found, text,
};

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

/// Waits until no packet is under way any more that has met a rule from before: the kernel lets each
/// packet pass all chains of a hook within one section of RCU, and this call returns after those that
/// had begun.
///
/// A packet under way meets the rules of two loads if it takes longer than the time between them: then
/// it may be sent from a chain of the old rules to one that the new ones have emptied, whose end is the
/// policy, "accept"; or from a base chain that did not judge it yet to one that does not judge it any
/// more.
fn let_packets_pass() {
    use rustix::thread::{MembarrierCommand, membarrier};
    /// Far longer than a packet takes, and than a processor of a virtual machine is usually away.
    const INSTEAD: Duration = Duration::from_millis(100);
    if membarrier(MembarrierCommand::Global).is_err() {
        std::thread::sleep(INSTEAD);
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
    let there = netlink.structure(TABLE).map_err(|error| error.to_string())?;
    if let Some(there) = &there {
        rename_chains(there)?;
    }
    if there.is_some() && structure.raw_prerouting_judges_more_than(old) {
        let text = render_judging_twice(&structure);
        let text = replacing_what_is_there(netlink, &text)?;
        text::load(&text).map_err(|error| error.to_string())?;
        let_packets_pass();
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
        let text = replacing_what_is_there(netlink, &text)?;
        text::load(&text).map_err(|error| error.to_string())?;
        let found = netlink.structure(TABLE).map_err(|error| error.to_string())?;
        let structure = found.ok_or(REMOVED)?;
        let alone = structure.generation == before.wrapping_add(1);
        if alone || monitor.as_mut().is_some_and(|it| is_untouched(it, netlink, before, &structure))
        {
            if there.is_some() {
                let_packets_pass();
            }
            return Ok(structure);
        }
        // From the second time on, it listens to what the others do.
        monitor = monitor.or_else(|| Monitor::open().ok());
    }
    Err("it is loaded, but another program changes it all the time, so that it is not certain whose rules stand".to_owned())
}

/// Gives the chains of an older version their present names.
fn rename_chains(there: &Found) -> Result<(), String> {
    let is_there = |name: &str| there.chains.iter().any(|chain| chain.name == name);
    let renamed = RENAMED_CHAINS.iter().filter(|(old, new)| is_there(old) && !is_there(new));
    let text = renamed.fold(String::new(), |mut text, (old, new)| {
        let _ = writeln!(text, "rename chain inet {TABLE} {old} {new}");
        text
    });
    if text.is_empty() { Ok(()) } else { text::load(&text).map_err(|error| error.to_string()) }
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

/// `text`, and what is to be done in the same transaction about chains in our table that it does not make.
///
/// Base chains are removed: the kernel calls them without any rule of ours, and with the policy "drop"
/// they shut everybody out. Other chains, which [`remove_stale`] removes, drop what gets there until then:
/// a packet that is under way may be sent to a chain by an old rule, and find it emptied already.
fn replacing_what_is_there(netlink: &mut Netlink, text: &str) -> Result<String, String> {
    let found = netlink.structure(TABLE).map_err(|error| error.to_string())?;
    let (mut before, mut after) = (String::new(), String::new());
    let chains = found.into_iter().flat_map(|found| found.chains);
    for chain in chains.filter(|chain| is_plain(&chain.name) && !makes(text, &chain.name)) {
        let name = format!("inet {TABLE} {}", chain.name);
        let _ = match chain.base {
            Some(_) => writeln!(before, "flush chain {name}\ndelete chain {name}"),
            None => writeln!(after, "add rule {name} drop"),
        };
    }
    Ok(before + text + &after)
}

/// Whether `nft` takes a name as it is.
fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// Whether a text of [`render`] makes a chain.
fn makes(text: &str, chain: &str) -> bool {
    text.contains(&format!("\tchain {chain} {{"))
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
    let stale = Stale::beside(desired);
    let chains = found.chains.iter().filter(|chain| stale.has_chain(chain));
    let (changing, fixed): (Vec<_>, Vec<_>) = chains.partition(|chain| chain.name.contains('.'));
    let mut text = removing(&changing);
    for set in found.sets.iter().filter(|set| stale.has_set(set)) {
        let _ = writeln!(text, "delete set inet {TABLE} {set}");
    }
    if !text.is_empty() {
        text::load(&text).map_err(|error| error.to_string())?;
    }
    if !fixed.is_empty() {
        // Among them may be chains of another program, to which a map of its own leads: nothing that is
        // ours leads there, so they may stay.
        let _ = text::load(&removing(&fixed));
    }
    Ok(())
}

/// The commands that remove chains. Some jump to others: first all rules, then the chains.
fn removing(chains: &[&Chain]) -> String {
    let mut text = String::new();
    for action in ["flush", "delete"] {
        for chain in chains {
            let _ = writeln!(text, "{action} chain inet {TABLE} {}", chain.name);
        }
    }
    text
}

/// What is no longer needed: chains that the rules do not make, sets of knocks, which have a dot in their
/// name, list sets that were replaced, and sets of older versions.
struct Stale<'a> {
    text: String,
    knocks: BTreeSet<String>,
    list_sets: &'a ListSets,
}

impl Stale<'_> {
    fn beside(desired: &Structure) -> Stale<'_> {
        Stale {
            text: render(desired),
            knocks: desired.knocks.sets().map(|(set, _)| set).collect(),
            list_sets: &desired.list_sets,
        }
    }

    fn has_chain(&self, chain: &Chain) -> bool {
        chain.base.is_none() && is_plain(&chain.name) && !makes(&self.text, &chain.name)
    }

    fn has_set(&self, name: &str) -> bool {
        (name.contains('.') && !self.knocks.contains(name))
            || (ListSet::is_name_of_one(name) && !self.list_sets.all().any(|set| set.name == name))
            || names::RETIRED.contains(&name)
    }
}

/// The base chains of the table.
const BASE_CHAINS: [&str; 5] = ["raw_prerouting", "prerouting", "input", "output", "postrouting"];

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
    let gone = |chain: &Chain, name: &str| chain.name == name && stale.has_chain(chain);
    let may_go =
        |name: &str| stale.has_set(name) || loaded.chains.iter().any(|chain| gone(chain, name));
    let is_ours = found.is_left_of(&loaded, may_go);
    if is_ours && alone {
        *counted = now;
    }
    Ok(if is_ours { found } else { loaded })
}
