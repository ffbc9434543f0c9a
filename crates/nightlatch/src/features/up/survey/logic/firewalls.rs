//! Other firewalls: whose chains are whose, and what each does beside ours.

use std::collections::{BTreeMap, BTreeSet};

use super::super::OtherFirewall;
use super::known::{KNOWN, Known};
use super::ruleset::{Chain, ChainName, Chains};

/// What the machine shows of its firewalls.
#[derive(Clone, Debug, Default)]
pub struct FirewallFacts {
    /// The chains of nftables (iptables-nft is among them) and of iptables-legacy.
    pub rulesets: Vec<Chains>,
    /// The files of [`Known::files`] that are there, by the firewall's id.
    pub files: BTreeMap<String, Vec<String>>,
    /// The units that start at boot, without `.service`.
    pub enabled: BTreeSet<String>,
    /// The names of the running processes, with the programs of their command lines.
    pub processes: BTreeSet<String>,
    /// Whether `/etc/ufw/ufw.conf` says `ENABLED=yes`.
    pub ufw_enabled: bool,
    /// Whether `/etc/nftables.conf` begins by flushing the whole ruleset.
    pub nftables_flushes: bool,
}

/// The tables that iptables-nft makes.
const IPTABLES_TABLES: &[&str] = &["filter", "nat", "mangle", "raw", "security"];

/// Names every other firewall, in the order of [`KNOWN`], then what is left of iptables and
/// nftables.
pub fn find_firewalls(facts: &FirewallFacts) -> Vec<OtherFirewall> {
    let mut shares: BTreeMap<Owner, Share> = BTreeMap::new();
    for ruleset in &facts.rulesets {
        for (name, chain) in &ruleset.chains {
            if !name.table.starts_with("nightlatch") {
                divide(name, chain, ruleset, &mut shares);
            }
        }
    }
    let mut found: Vec<OtherFirewall> = Vec::new();
    for (at, known) in KNOWN.iter().enumerate() {
        let share = shares.remove(&Owner::Known(at)).unwrap_or_default();
        found.extend(known_firewall(known, share, facts));
    }
    for (owner, share) in shares {
        // A table of iptables without a rule and without a dropping policy does nothing.
        if share.rules > 0 || !share.drops_by_default.is_empty() {
            found.push(unknown_firewall(&owner, share, facts));
        }
    }
    found
}

/// Whose a chain is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    /// The one at this place of [`KNOWN`].
    Known(usize),
    IptablesNft,
    IptablesLegacy,
    /// Another table, `family name`.
    Table(String),
}

/// What one owner has in the kernel.
#[derive(Default)]
struct Share {
    tables: BTreeSet<String>,
    chains: Vec<String>,
    drops_by_default: Vec<String>,
    rules: u32,
    drops: u32,
    rejects: u32,
}

/// Gives a chain, or its policy, to its owner.
fn divide(name: &ChainName, chain: &Chain, ruleset: &Chains, shares: &mut BTreeMap<Owner, Share>) {
    let owner = owner_of(name, chain);
    let table = format!("{} {}", name.family, name.table);
    if chain.drops_by_default {
        let holder = policy_holder(name, chain, ruleset).unwrap_or_else(|| owner.clone());
        shares.entry(holder).or_default().drops_by_default.push(name.to_string());
    }
    // A rule that only leads to another owner's chain is that owner's.
    let lent: u32 = chain
        .jumps
        .iter()
        .filter(|(target, _)| {
            let target = ChainName { chain: (*target).clone(), ..name.clone() };
            ruleset.chains.contains_key(&target) && owner_of(&target, chain) != owner
        })
        .map(|(_, count)| *count)
        .sum();
    let rules = chain.rules.saturating_sub(lent);
    let named = matches!(owner, Owner::Known(_));
    if rules > 0 || named {
        let share = shares.entry(owner).or_default();
        share.rules += rules;
        share.drops += chain.drops;
        share.rejects += chain.rejects;
        share.chains.push(name.to_string());
        share.tables.insert(table);
    }
}

fn owner_of(name: &ChainName, chain: &Chain) -> Owner {
    let table = format!("{} {}", name.family, name.table);
    let in_iptables = matches!(name.family.as_str(), "ip" | "ip6")
        && IPTABLES_TABLES.contains(&name.table.as_str());
    let known = KNOWN.iter().position(|known| {
        known.tables.iter().any(|pattern| fits(pattern, &table))
            || (in_iptables && known.chains.iter().any(|mark| name.chain.starts_with(mark)))
    });
    match known {
        Some(at) => Owner::Known(at),
        None if chain.legacy => Owner::IptablesLegacy,
        None if in_iptables => Owner::IptablesNft,
        None => Owner::Table(table),
    }
}

/// Who set the policy of a base chain of iptables: a firewall known to do so, with chains of its
/// own in the same table.
fn policy_holder(name: &ChainName, chain: &Chain, ruleset: &Chains) -> Option<Owner> {
    let hook = chain.hook.as_deref()?;
    let place = KNOWN.iter().position(|known| {
        known.policies.contains(&hook)
            && ruleset.chains.keys().any(|other| {
                other.family == name.family
                    && other.table == name.table
                    && known.chains.iter().any(|mark| other.chain.starts_with(mark))
            })
    })?;
    Some(Owner::Known(place))
}

/// Whether a process's name is this one: alone (`lfd`), or with more behind it (`lfd - sleeping`).
fn is_process(name: &str, mark: &str) -> bool {
    name.strip_prefix(mark)
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.'))
}

fn fits(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => text.starts_with(beginning),
        None => pattern == text,
    }
}

fn known_firewall(known: &Known, share: Share, facts: &FirewallFacts) -> Option<OtherFirewall> {
    let files = facts.files.get(known.id).cloned().unwrap_or_default();
    let processes: Vec<&String> = facts
        .processes
        .iter()
        .filter(|name| known.processes.iter().any(|mark| is_process(name, mark)))
        .collect();
    let at_boot = match known.id {
        "ufw" => facts.ufw_enabled && known.units.iter().any(|unit| facts.enabled.contains(*unit)),
        // FreePBX itself starts at boot; its firewall only where it was set up.
        "freepbx-firewall" => !files.is_empty() && facts.enabled.contains("freepbx"),
        _ => known.units.iter().any(|unit| facts.enabled.contains(*unit)),
    };
    let in_kernel = !share.chains.is_empty() || !share.drops_by_default.is_empty();
    let there = in_kernel
        || !processes.is_empty()
        || (known.files_suffice && !files.is_empty())
        || (at_boot && (files.is_empty() || known.id != "freepbx-firewall"));
    if !there {
        return None;
    }
    let mut found = files;
    found.extend(processes.iter().map(|name| format!("process {name}")));
    found.extend(in_the_kernel(&share));
    let mut flushes = known.flushes.to_owned();
    if known.id == "nftables-service" && facts.nftables_flushes {
        "empties the whole ruleset of nftables when it starts (flush ruleset)"
            .clone_into(&mut flushes);
    }
    let mut firewall = OtherFirewall {
        id: known.id.to_owned(),
        name: known.name.to_owned(),
        found,
        active: in_kernel || !processes.is_empty(),
        at_boot,
        drops_by_default: share.drops_by_default,
        drop_rules: share.drops,
        reject_rules: share.rejects,
        flushes: !flushes.is_empty(),
        effect: String::new(),
    };
    firewall.effect = effect(&firewall, &flushes, known.note);
    Some(firewall)
}

fn unknown_firewall(owner: &Owner, share: Share, facts: &FirewallFacts) -> OtherFirewall {
    let (id, name) = match owner {
        Owner::IptablesNft | Owner::Known(_) => {
            ("iptables-nft".to_owned(), "iptables rules".to_owned())
        }
        Owner::IptablesLegacy => ("iptables-legacy".to_owned(), "iptables-legacy rules".to_owned()),
        Owner::Table(table) => (format!("nft {table}"), format!("nftables table {table}")),
    };
    let loaders = match owner {
        Owner::Table(_) => ["nftables", "nftables"],
        _ => ["netfilter-persistent", "iptables"],
    };
    let mut firewall = OtherFirewall {
        id,
        name,
        found: in_the_kernel(&share),
        active: true,
        at_boot: loaders.iter().any(|unit| facts.enabled.contains(*unit)),
        drops_by_default: share.drops_by_default,
        drop_rules: share.drops,
        reject_rules: share.rejects,
        flushes: false,
        effect: String::new(),
    };
    firewall.effect = effect(&firewall, "", "");
    firewall
}

/// Names a few tables and chains, and counts the rest.
fn in_the_kernel(share: &Share) -> Vec<String> {
    const SHOWN: usize = 4;
    let mut found: Vec<String> =
        share.chains.iter().take(SHOWN).map(|chain| format!("chain {chain}")).collect();
    if share.chains.len() > SHOWN {
        let tables: Vec<&str> = share.tables.iter().map(String::as_str).collect();
        found.push(format!(
            "and {} more chains in {}",
            share.chains.len() - SHOWN,
            tables.join(", ")
        ));
    }
    found
}

/// What a firewall does beside ours, in plain sentences.
fn effect(firewall: &OtherFirewall, flushes: &str, note: &str) -> String {
    let mut sentences: Vec<String> = Vec::new();
    match (firewall.active, firewall.at_boot) {
        (true, _) => {}
        (false, true) => sentences.push("Not active now, but it starts at boot.".to_owned()),
        (false, false) => sentences.push("Installed, but not active.".to_owned()),
    }
    if !firewall.drops_by_default.is_empty() {
        sentences.push(format!(
            "Drops by default in {}: what Nightlatch accepts is still dropped there unless a rule \
             of its own accepts it too.",
            firewall.drops_by_default.join(", ")
        ));
    }
    let (drops, rejects) = (firewall.drop_rules, firewall.reject_rules);
    let counted: Vec<String> =
        [(drops, "rule drops", "rules drop"), (rejects, "rule rejects", "rules reject")]
            .iter()
            .filter(|(number, ..)| *number > 0)
            .map(|(number, one, many)| count(*number, one, many))
            .collect();
    if !counted.is_empty() {
        sentences.push(format!("{}, even what Nightlatch accepts.", counted.join(" and ")));
    }
    if rejects > 0 {
        sentences.push("Strangers never see those answers: Nightlatch drops first.".to_owned());
    }
    if firewall.active {
        sentences.push("A packet must be accepted by both firewalls.".to_owned());
    }
    if !flushes.is_empty() {
        sentences.push(format!(
            "It {flushes}; Nightlatch's own table is separate, and is restored at once if it is removed."
        ));
    }
    if !note.is_empty() {
        sentences.push(note.to_owned());
    }
    sentences.join(" ")
}

fn count(number: u32, one: &str, many: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{number} {many}"),
    }
}
