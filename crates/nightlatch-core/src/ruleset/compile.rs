//! From the ledger to the desired table.

use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;

use nightlatch_parse::ranges::RangeList;

use super::{BLOCKED, HostPorts, OpenServices, Ruleset, ServiceChain, Structure};
use crate::AddrRange;
use crate::ledger::{DenialScope, Mode};
use crate::policy::{World, limited_to_strangers, open_to_strangers};
use crate::service::{Grant, Role, ServiceName};

/// The table that gives every packet the verdict of [`crate::policy::judge`].
///
/// Accounts, blocks and denials may overlap freely; the result is disjoint ranges, each with one
/// answer, so that the kernel needs one lookup whatever their number. `n log n`.
///
/// `lists` is [`crate::lists::Lists::merged`], which is kept because it may be long.
pub fn compile(world: &World<'_>, lists: Arc<RangeList>) -> Ruleset {
    let mut ruleset = Ruleset { lists, ..Ruleset::default() };
    ruleset.structure.trial = world.ledger.protection.opens_by_itself();
    ruleset.structure.ports = HostPorts::of(world);
    ruleset.structure.open = (world.ledger.mode == Mode::Open).then(|| OpenServices {
        opening: open_to_strangers(world.rules, world.catalogue),
        limited: limited_to_strangers(world.rules, world.catalogue),
        per_source: world.rules.per_source,
        total: world.rules.total,
    });
    for (range, answer) in disjoint(claims(world)) {
        if let Some((grant, walled)) = answer.account() {
            let chain = add_chain(&mut ruleset.structure, grant, walled, world);
            ruleset.accounts.push((range, chain));
        }
        if let Some(closure) = answer.closure() {
            let name = add_closure(&mut ruleset.structure, closure, world);
            ruleset.closed.push((range, name));
        }
    }
    ruleset
}

/// What is claimed for a range of addresses.
#[derive(Clone, Debug)]
pub enum Claim<'a> {
    /// An account lets it in for these services.
    Account(&'a Grant),
    /// A block shuts it out.
    Block,
    /// A denial: all services that no account grants are denied, in both directions.
    Denial(DenialScope),
}

/// What holds for a range, all claims weighed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Shut out, running flows too.
    Blocked,
    /// All services are denied.
    Denied(DenialScope),
    /// Let in for the union of the services of all accounts.
    Account {
        /// That union.
        grant: Grant,
        /// Whether a wider block lies around it.
        walled: bool,
        /// Whether all other services are denied, for running flows and outbound packets too.
        denied: Option<DenialScope>,
    },
}

/// What is closed to a range in both directions.
enum Closure {
    /// Everything.
    Blocked,
    /// All services except these, and possibly except media.
    Denied(Grant, DenialScope),
}

impl Answer {
    /// What accounts grant there, and whether a wider block contains it.
    fn account(&self) -> Option<(&Grant, bool)> {
        match self {
            Answer::Account { grant, walled, .. } => Some((grant, *walled)),
            Answer::Blocked | Answer::Denied(_) => None,
        }
    }

    fn closure(&self) -> Option<Closure> {
        match self {
            Answer::Blocked => Some(Closure::Blocked),
            Answer::Denied(scope) => Some(Closure::Denied(Grant::Some(BTreeSet::new()), *scope)),
            Answer::Account { grant: Grant::All, .. } => None,
            Answer::Account { grant, denied, .. } => {
                denied.map(|scope| Closure::Denied(grant.clone(), scope))
            }
        }
    }
}

fn claims<'a>(world: &World<'a>) -> Vec<(AddrRange, Claim<'a>)> {
    let mut claims = Vec::new();
    for account in world.ledger.accounts_at(world.now) {
        let ranges = account.ranges();
        claims.extend(ranges.map(|range| (range, Claim::Account(&account.services))));
    }
    for block in world.ledger.blocks_at(world.now) {
        claims.push((block.range, Claim::Block));
    }
    // A denial applies until it is removed from the ledger: the PBX is asked before it ends.
    let denials = world.ledger.denials.values();
    claims.extend(denials.map(|denial| (denial.range, Claim::Denial(denial.scope))));
    claims
}

/// Cuts overlapping claims into disjoint ranges with one answer each, sorted, neighbours with the
/// same answer joined.
///
/// A sweep over the ends of all claims, which keeps count of those that are open: `n log n`, also
/// when all of them overlap.
pub fn disjoint(claims: Vec<(AddrRange, Claim<'_>)>) -> Vec<(AddrRange, Answer)> {
    let mut ends: Vec<End<'_>> = Vec::with_capacity(claims.len() * 2);
    for (range, claim) in claims {
        let width = range.width();
        let end =
            |at, opens| End { family: range.family(), at, opens, width, claim: claim.clone() };
        ends.push(end(range.first(), true));
        // The last address of a family has no successor: what is open there ends with the family.
        if let Some(behind) =
            range.last().checked_add(1).filter(|at| *at <= range.family().highest())
        {
            ends.push(end(behind, false));
        }
    }
    ends.sort_unstable_by_key(|end| (end.family, end.at));
    let mut answers: Vec<(AddrRange, Answer)> = Vec::new();
    let mut open = OpenClaims::default();
    let mut ends = ends.into_iter().peekable();
    while let Some(end) = ends.next() {
        let (family, at) = (end.family, end.at);
        open.update(&end);
        let next = ends.peek().map(|next| (next.family, next.at));
        if next == Some((family, at)) {
            continue;
        }
        let last = match next {
            Some((next_family, next_at)) if next_family == family => next_at - 1,
            _ => family.highest(),
        };
        if let (Some(answer), Some(range)) = (open.answer(), AddrRange::new(family, at, last)) {
            append(&mut answers, range, answer);
        }
        if next.is_none_or(|(next_family, _)| next_family != family) {
            open = OpenClaims::default();
        }
    }
    answers
}

struct End<'a> {
    family: crate::Family,
    at: u128,
    opens: bool,
    width: u128,
    claim: Claim<'a>,
}

/// The claims that cover the place where the sweep stands, counted so that the answer does not
/// depend on how many they are.
#[derive(Default)]
struct OpenClaims<'a> {
    accounts: BTreeMap<u128, usize>,
    blocks: BTreeMap<u128, usize>,
    denials: BTreeMap<DenialScope, usize>,
    unlimited: usize,
    services: BTreeMap<&'a ServiceName, usize>,
}

impl<'a> OpenClaims<'a> {
    fn update(&mut self, end: &End<'a>) {
        match end.claim {
            Claim::Block => count(&mut self.blocks, end.width, end.opens),
            Claim::Denial(scope) => count(&mut self.denials, scope, end.opens),
            Claim::Account(grant) => {
                count(&mut self.accounts, end.width, end.opens);
                match grant {
                    Grant::All if end.opens => self.unlimited += 1,
                    Grant::All => self.unlimited = self.unlimited.saturating_sub(1),
                    Grant::Some(names) => {
                        names.iter().for_each(|name| count(&mut self.services, name, end.opens));
                    }
                }
            }
        }
    }

    fn answer(&self) -> Option<Answer> {
        let account = self.accounts.keys().next();
        let block = self.blocks.keys().next();
        // The denial with the wider scope applies.
        let denied = self.denials.keys().next_back().copied();
        match (account, block) {
            (None, None) => denied.map(Answer::Denied),
            (None, Some(_)) => Some(Answer::Blocked),
            (Some(account), Some(block)) if block <= account => Some(Answer::Blocked),
            (Some(_), block) => {
                let names: BTreeSet<ServiceName> =
                    self.services.keys().map(|name| (*name).clone()).collect();
                let grant = if self.unlimited > 0 { Grant::All } else { Grant::Some(names) };
                Some(Answer::Account { grant, walled: block.is_some(), denied })
            }
        }
    }
}

fn count<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K, opens: bool) {
    if opens {
        *counts.entry(key).or_default() += 1;
    } else if let Some(number) = counts.get_mut(&key) {
        *number -= 1;
        if *number == 0 {
            counts.remove(&key);
        }
    }
}

fn append(answers: &mut Vec<(AddrRange, Answer)>, range: AddrRange, answer: Answer) {
    if let Some((previous, same)) = answers.last_mut()
        && *same == answer
        && previous.family() == range.family()
        && previous.last().checked_add(1) == Some(range.first())
        && let Some(joined) = AddrRange::new(range.family(), previous.first(), range.last())
    {
        *previous = joined;
        return;
    }
    answers.push((range, answer));
}

/// A union of services as part of a chain's name: `sip.web`, `all`; long unions are numbered by a
/// hash of their names.
fn union_name(grant: &Grant) -> String {
    const MAX_LENGTH: usize = 60;
    let names: Vec<String> = Vec::<String>::from(grant.clone());
    // A "-" cannot stand in a chain's name; no service's name holds a "_".
    let mut name = names.join(".").replace('-', "_");
    if name.is_empty() {
        "nothing".clone_into(&mut name);
    }
    if name.len() > MAX_LENGTH {
        name = format!("many.{:016x}", fnv(&name));
    }
    name
}

/// FNV-1a, 64 bits: a short name that is the same in every run. Names that collide are told apart
/// where the chain is added.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Adds the chain of a grant, and returns its name. Chains that open the same may share one.
fn add_chain(structure: &mut Structure, grant: &Grant, walled: bool, world: &World<'_>) -> String {
    let opening = match grant {
        Grant::All => None,
        Grant::Some(names) => Some(world.catalogue.opening(names)),
    };
    let chain = ServiceChain { opening, walled };
    let mut name = format!("{}.{}", if walled { "walled" } else { "to" }, union_name(grant));
    while structure.chains.get(&name).is_some_and(|there| *there != chain) {
        name.push('_');
    }
    structure.chains.insert(name.clone(), chain);
    name
}

/// Adds the chains of a closure, and returns the name that all of them share.
fn add_closure(structure: &mut Structure, closure: Closure, world: &World<'_>) -> String {
    let Closure::Denied(Grant::Some(names), scope) = closure else { return BLOCKED.to_owned() };
    let mut granted = world.catalogue.opening(&names);
    let mut name = union_name(&Grant::Some(names));
    if scope == DenialScope::ExceptMedia {
        // Ports that are also used for signalling do not count as media.
        granted.ports.extend(world.catalogue.udp_ports(Role::Media));
        granted.ports = crate::service::merge(granted.ports);
        name.push_str(".except_media");
    }
    while structure.closures.get(&name).is_some_and(|there| *there != granted) {
        name.push('_');
    }
    structure.closures.insert(name.clone(), granted);
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Family;
    use proptest::prelude::*;

    fn grant(text: &str) -> Grant {
        Grant::parse(text).unwrap()
    }

    fn check(claims: &[(&str, Option<&str>)], expected: &[&str]) {
        check_denied(claims, &[], expected);
    }

    fn check_denied(claims: &[(&str, Option<&str>)], denied: &[&str], expected: &[&str]) {
        let grants: Vec<Option<Grant>> =
            claims.iter().map(|(_, services)| services.map(grant)).collect();
        let claims = claims.iter().zip(&grants).map(|((range, _), grant)| {
            let claim = grant.as_ref().map_or(Claim::Block, Claim::Account);
            (range.parse().unwrap(), claim)
        });
        let denials = denied
            .iter()
            .map(|range| (range.parse().unwrap(), Claim::Denial(DenialScope::Everything)));
        let shown: Vec<String> = disjoint(claims.chain(denials).collect())
            .into_iter()
            .map(|(range, answer)| match answer {
                Answer::Blocked => format!("{range} blocked"),
                Answer::Denied(_) => format!("{range} denied"),
                Answer::Account { grant, walled, denied } => format!(
                    "{range} {grant}{}{}",
                    if walled { ", walled" } else { "" },
                    if denied.is_some() { ", rest denied" } else { "" }
                ),
            })
            .collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn names_that_collide_are_told_apart() {
        let (ledger, rules) = (crate::ledger::Ledger::default(), crate::config::Rules::default());
        let catalogue = rules.catalogue(&ledger.site);
        let lists = crate::lists::Lists::default();
        let now = crate::time::Time::from_millis(0);
        let learned = crate::signalling::Learned::default();
        let world = World {
            ledger: &ledger,
            rules: &rules,
            catalogue: &catalogue,
            lists: &lists,
            learned: &learned,
            now,
        };
        let mut structure = Structure::default();
        structure.chains.insert("to.web".to_owned(), ServiceChain { opening: None, walled: false });
        assert_eq!(add_chain(&mut structure, &grant("web"), false, &world), "to.web_");
        assert_eq!(add_chain(&mut structure, &grant("web"), false, &world), "to.web_");
        assert_eq!(add_chain(&mut structure, &grant("sip"), false, &world), "to.sip");
    }

    #[test]
    fn unions_and_blocks() {
        check(&[], &[]);
        check(
            &[("192.0.2.0/24", Some("sip")), ("192.0.2.16", Some("web"))],
            &["192.0.2.0/28 sip", "192.0.2.16 sip, web", "192.0.2.17-192.0.2.255 sip"],
        );
        check(
            &[("192.0.2.0/24", Some("sip")), ("192.0.2.128/25", Some("all"))],
            &["192.0.2.0/25 sip", "192.0.2.128/25 all"],
        );
        // The block is the narrower one: it wins. The account is: it wins, inside a wall.
        check(
            &[("192.0.2.0/30", Some("sip")), ("192.0.2.3", None)],
            &["192.0.2.0-192.0.2.2 sip", "192.0.2.3 blocked"],
        );
        check(
            &[("192.0.2.1", Some("sip")), ("192.0.2.0/30", None)],
            &["192.0.2.0 blocked", "192.0.2.1 sip, walled", "192.0.2.2/31 blocked"],
        );
        check(&[("192.0.2.1", Some("sip")), ("192.0.2.1", None)], &["192.0.2.1 blocked"]);
        // The ends of the address space, and both families side by side.
        check(
            &[
                ("255.255.255.255", Some("sip")),
                ("0.0.0.0/0", None),
                ("::/0", Some("web")),
                ("::", Some("web")),
            ],
            &["0.0.0.0-255.255.255.254 blocked", "255.255.255.255 sip, walled", "::/0 web"],
        );
    }

    #[test]
    fn denials_leave_what_accounts_grant() {
        check_denied(
            &[("192.0.2.0/30", Some("sip")), ("192.0.2.3", None)],
            &["192.0.2.2/31", "192.0.2.4"],
            &[
                "192.0.2.0/31 sip",
                "192.0.2.2 sip, rest denied",
                "192.0.2.3 blocked",
                "192.0.2.4 denied",
            ],
        );
        check_denied(
            &[("192.0.2.1", Some("sip")), ("192.0.2.0/30", None)],
            &["192.0.2.1"],
            &["192.0.2.0 blocked", "192.0.2.1 sip, walled, rest denied", "192.0.2.2/31 blocked"],
        );
    }

    proptest! {
        /// Against the stupid model: every address of a small space looked at by itself.
        #[test]
        fn it_equals_the_stupid_model(
            claims in proptest::collection::vec((0u128..32, 0u128..12, 0usize..6), 0..12)
        ) {
            let grants = [grant("sip"), grant("web,rtp"), Grant::All];
            let highest = Family::V4.highest();
            let claims: Vec<(AddrRange, Claim<'_>)> = claims
                .iter()
                .map(|(first, width, kind)| {
                    // The upper half lies at the end of the address space.
                    let first = if *first >= 16 { highest - 31 + first } else { *first };
                    let last = (first + width).min(highest);
                    let other = match kind {
                        3 => Claim::Block,
                        4 => Claim::Denial(DenialScope::Everything),
                        _ => Claim::Denial(DenialScope::ExceptMedia),
                    };
                    let claim = grants.get(*kind).map_or(other, Claim::Account);
                    (AddrRange::new(Family::V4, first, last).unwrap(), claim)
                })
                .collect();
            let found = disjoint(claims.clone());
            for pair in found.windows(2) {
                prop_assert!(pair[0].0.last() < pair[1].0.first());
            }
            for at in (0..64).chain(highest - 40..=highest) {
                let here = AddrRange::new(Family::V4, at, at).unwrap();
                let covering = || claims.iter().filter(|(range, _)| range.covers(&here));
                let narrowest = |is: fn(&Claim<'_>) -> bool| {
                    covering()
                        .filter(|(_, claim)| is(claim))
                        .map(|(range, _)| range.width())
                        .min()
                };
                let account = narrowest(|claim| matches!(claim, Claim::Account(_)));
                let block = narrowest(|claim| matches!(claim, Claim::Block));
                let scopes = covering().filter_map(|(_, claim)| match claim {
                    Claim::Denial(scope) => Some(*scope),
                    _ => None,
                });
                let denied = scopes.max();
                let expected = match (account, block) {
                    (None, None) => denied.map(|scope| format!("denied {scope:?}")),
                    (None, Some(_)) => Some("blocked".to_owned()),
                    (Some(account), Some(block)) if block <= account => Some("blocked".to_owned()),
                    (Some(_), block) => {
                        let names: BTreeSet<String> = covering()
                            .filter_map(|(_, claim)| match claim {
                                Claim::Account(grant) => Some(Vec::<String>::from((*grant).clone())),
                                Claim::Block | Claim::Denial(_) => None,
                            })
                            .flatten()
                            .collect();
                        let all = names.contains("all").then(|| vec!["all".to_owned()]);
                        let names = all.unwrap_or(names.into_iter().collect());
                        Some(format!("{} {} {denied:?}", names.join(","), block.is_some()))
                    }
                };
                let answer = found.iter().find(|(range, _)| range.covers(&here)).map(|(_, a)| a);
                let shown = answer.map(|answer| match answer {
                    Answer::Blocked => "blocked".to_owned(),
                    Answer::Denied(scope) => format!("denied {scope:?}"),
                    Answer::Account { grant, walled, denied } => {
                        format!("{} {walled} {denied:?}", Vec::<String>::from(grant.clone()).join(","))
                    }
                });
                prop_assert_eq!(shown, expected, "at {}", at);
            }
        }
    }
}
