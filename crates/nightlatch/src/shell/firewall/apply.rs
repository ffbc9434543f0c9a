//! From one ruleset to the next.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use nightlatch_core::attribution::Attribution;
use nightlatch_core::ruleset::{
    ListSet, ListSets, RENAMED_CHAINS, Structure, TABLE, names, render, render_judging_twice,
};
use nightlatch_netfilter::{Chain, Element, Key, Kind, Netlink, Set, Structure as Found};

use super::attribution;

/// The numbers of the families in the kernel (`linux/netfilter.h`).
const FAMILIES: [u8; 2] = [2, 10];

const REMOVED: &str = "the table is missing right after it was loaded: another program removes it";

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
/// change, the load itself, or reported no others than in others' tables: a rule that somebody slips
/// in between would otherwise stand for good. The digest of an earlier load of the same text
/// could not tell, as it differs from load to load. So otherwise all is loaded again:
/// [`Attribution::loaded`] decides that.
pub(super) fn load_structure(
    netlink: &mut Netlink,
    old: Option<&Structure>,
    desired: &Structure,
) -> Result<Loaded, String> {
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
        rename_chains(netlink, there)?;
    }
    if there.is_some() && structure.raw_prerouting_judges_more_than(old) {
        let text = render_judging_twice(&structure);
        let text = replacing_what_is_there(netlink, &text)?;
        netlink.load(&text).map_err(|error| error.to_string())?;
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
    let before = netlink.generation().map_err(|error| error.to_string())?;
    let text = replacing_what_is_there(netlink, &text)?;
    netlink.load(&text).map_err(|error| error.to_string())?;
    let found = netlink.structure(TABLE).map_err(|error| error.to_string())?;
    let found = found.ok_or(REMOVED)?;
    if there.is_some() {
        let_packets_pass();
    }
    Ok(Loaded { before, found })
}

/// Gives the chains of an older version their present names.
fn rename_chains(netlink: &mut Netlink, there: &Found) -> Result<(), String> {
    let is_there = |name: &str| there.chains.iter().any(|chain| chain.name == name);
    let renamed = RENAMED_CHAINS.iter().filter(|(old, new)| is_there(old) && !is_there(new));
    let text = renamed.fold(String::new(), |mut text, (old, new)| {
        let _ = writeln!(text, "rename chain inet {TABLE} {old} {new}");
        text
    });
    if text.is_empty() { Ok(()) } else { netlink.load(&text).map_err(|error| error.to_string()) }
}

/// Chains and rules that were just loaded.
pub(super) struct Loaded {
    /// The kernel's count of changes before that.
    before: u32,
    /// As they were read right behind the load.
    found: Found,
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
        netlink.load(&text).map_err(|error| error.to_string())?;
    }
    if !fixed.is_empty() {
        // Among them may be chains of another program, to which a map of its own leads: nothing that is
        // ours leads there, so they may stay.
        let _ = netlink.load(&removing(&fixed));
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
    Loaded { before, found: loaded }: Loaded,
    desired: &Structure,
    attribution: &mut Attribution,
    now: Duration,
) -> Result<Found, String> {
    // First the count, then the look: a change in between makes the count differ next time.
    let count = attribution::count(netlink)?;
    let found = netlink.structure(TABLE).map_err(|error| error.to_string())?;
    let found = found.ok_or(REMOVED)?;
    for chain in desired.changing_chains().chain(BASE_CHAINS.map(str::to_owned)) {
        if !found.chains.iter().any(|there| there.name == chain) {
            return Err(format!("after loading, the chain {chain} is missing"));
        }
    }
    if found.table.dormant {
        return Err("after loading, the table is dormant".to_owned());
    }
    // What is stale we have removed ourselves since the load.
    let stale = Stale::beside(desired);
    let gone = |chain: &Chain, name: &str| chain.name == name && stale.has_chain(chain);
    let may_go =
        |name: &str| stale.has_set(name) || loaded.chains.iter().any(|chain| gone(chain, name));
    let is_ours = found.is_left_of(&loaded, may_go);
    attribution.loaded(before, loaded.generation, now);
    if is_ours {
        attribution.acknowledged(count);
    }
    Ok(if is_ours { found } else { loaded })
}
