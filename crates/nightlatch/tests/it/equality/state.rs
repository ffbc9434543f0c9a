//! Random states: accounts, blocks, modes, services, feeds, countries.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use nightlatch_core::AddrRange;
use nightlatch_core::ban::Limited;
use nightlatch_core::condition;
use nightlatch_core::config::{Config, MediaSources, Rate, Rules};
use nightlatch_core::features::accounts::{self, Account, Entry};
use nightlatch_core::features::bans::{self, Ban, BanCause, Limit};
use nightlatch_core::features::blocks::{self, Block};
use nightlatch_core::features::countries::{self, FetchedTable};
use nightlatch_core::features::denials::{self, Denial, DenialCause};
use nightlatch_core::features::exemptions::{self, Exemption};
use nightlatch_core::features::feeds::{self, Feed, FeedName, FeedState};
use nightlatch_core::features::leases::{self, Lease, LeaseKey};
use nightlatch_core::features::providers::{self, Enabled};
use nightlatch_core::features::users;
use nightlatch_core::features::{self, Change, firewall};
use nightlatch_core::learned::Element;
use nightlatch_core::lists::Guard;
use nightlatch_core::policy::{DenialScope, World};
use nightlatch_core::posture::{Mode, Protection};
use nightlatch_core::product::Product;
use nightlatch_core::ruleset::{self, Structure, Table};
use nightlatch_core::service::{Catalogue, Grant, ServiceName};
use nightlatch_core::signalling::{Learned, LearnedBy, Peer};
use nightlatch_core::time::Time;
use nightlatch_parse::country::{Builder, CountryCode};
use nightlatch_parse::ranges::RangeList;

use super::dice::Dice;
use super::knocks;
use super::records::{
    network, random_account, random_exemption, random_grant, random_hours, random_ports,
    random_provider, random_range,
};

/// All that a judgement depends on, owned.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The records.
    pub(super) records: features::State,
    pub(super) rules: Rules,
    /// What each feed names.
    pub(super) feeds: Vec<Vec<AddrRange>>,
    /// A feed long enough for hash tables in the kernel.
    long: Arc<RangeList>,
    /// The table of countries.
    pub(super) countries: Vec<(AddrRange, CountryCode)>,
    /// The peers known from the host's packets.
    pub(super) learned: Learned,
    /// The addresses at which the host is registered over TCP.
    by_tcp: Vec<AddrRange>,
    /// What the kernel knows of leases and calls.
    pub(super) conditions: Vec<Element>,
}

/// The moment of all judgements: the kernel examines hours by its own clock.
pub(super) static NOW: LazyLock<Time> = LazyLock::new(nightlatch::shell::clock::now);

/// So high that nothing is ever limited, or so low that the second packet is.
const WIDE: Rate = Rate { packets: 1_000_000, burst: 1_000_000 };
const TIGHT: Rate = Rate { packets: 1, burst: 1 };

impl State {
    pub(super) fn catalogue(&self) -> Catalogue {
        self.rules.catalogue(&self.records.posture().site)
    }

    pub(super) fn with<T>(&self, ask: impl FnOnce(&World<'_>) -> T) -> T {
        let (state, catalogue) = (self.with_lists(), self.catalogue());
        ask(&World {
            state: &state,
            rules: &self.rules,
            catalogue: &catalogue,
            learned: &self.learned,
            assume_listed: None,
            now: *NOW,
        })
    }

    /// Makes a change.
    pub(super) fn change(&mut self, change: Change) {
        let _ = self.records.apply(change);
    }

    /// The lists as the kernel should have them.
    pub(super) fn merged(&self) -> Arc<RangeList> {
        let mut all = self.with_lists().lists();
        all.merge();
        Arc::new(all.without(&Guard::of(&self.records.posture().site).ranges()))
    }

    /// The table as the kernel should have it.
    pub(super) fn table(&self) -> (Table, Structure) {
        let table = Table::compile(&self.records, *NOW);
        let structure = self.with(|world| ruleset::structure(world, &table));
        (table, structure)
    }

    /// The records with what the lists hold.
    fn with_lists(&self) -> features::State {
        let mut state = self.records.clone();
        let mut put_feed = |name: FeedName, content| {
            let _ = state.apply(feeds::put(feed(name.clone()), FeedState::default()));
            state.note(&feeds::Event::InForce { name, content }.into(), *NOW);
        };
        for (number, ranges) in self.feeds.iter().enumerate() {
            let mut content: RangeList = ranges.iter().copied().collect();
            content.merge();
            put_feed(format!("feed-{number}").parse().unwrap(), Arc::new(content));
        }
        put_feed("long".parse().unwrap(), Arc::clone(&self.long));
        let mut table = Builder::new();
        for (range, code) in &self.countries {
            table.add(*range, *code);
        }
        let table = FetchedTable { table: Arc::new(table.build()), ..FetchedTable::default() };
        state.note(&countries::Event::InForce(table).into(), *NOW);
        state
    }

    /// The peers at which the host is registered over TCP.
    pub(super) fn registrars_by_tcp(&self) -> impl Iterator<Item = (Peer, Time)> {
        let by = LearnedBy::RegisteredByTcp;
        let peer = move |range: &AddrRange| {
            let address = range.first_address();
            (Peer { by, address, port: 0, local_port: 0 }, NOW.after(by.timeout()))
        };
        self.by_tcp.iter().map(peer)
    }

    /// Whether a second packet of a source meets the limit.
    pub(super) fn is_tight(&self) -> bool {
        self.rules.per_source == TIGHT
    }

    /// Whether an account or provider of this name has an address by a host name.
    pub(super) fn names_host(&self, of: &str, address: IpAddr) -> bool {
        let accounts = self.records.accounts.all.values();
        let accounts = accounts.map(|it| (it.name.as_str(), &it.entries));
        let providers = self.records.providers.all.values();
        let all = accounts.chain(providers.map(|it| (it.name.as_str(), &it.signalling)));
        let has = |entry: &Entry| matches!(entry, Entry::Host { addresses, .. } if addresses.contains(&address));
        all.filter(|(name, _)| *name == of).any(|(_, entries)| entries.iter().any(has))
    }

    /// Every range that an account, a block or a list names; of the long list some.
    pub(super) fn ranges(&self) -> Vec<AddrRange> {
        let accounts = self.records.accounts.all.values().flat_map(Account::ranges);
        let exempt = self.records.exemptions.all.values().flat_map(Exemption::ranges);
        let feeds = self.feeds.iter().flatten().copied();
        let countries = self.countries.iter().map(|(range, _)| *range);
        let denials = self.records.denials.all.keys().copied();
        let guarded = self.records.posture().site.guarded.iter().map(|(range, _)| *range);
        let some_of_long = self.long.iter().step_by((self.long.len() / 10).max(1));
        let providers = self.records.providers.all.values().flat_map(Enabled::ranges);
        accounts
            .chain(providers)
            .chain(some_of_long)
            .chain(self.records.blocks.all.keys().copied())
            .chain(self.records.bans.all.keys().copied())
            .chain(exempt)
            .chain(feeds)
            .chain(denials)
            .chain(self.records.leases.ranges())
            .chain(knocks::addresses(self))
            .chain(self.by_tcp.iter().copied())
            .chain(countries)
            .chain(guarded)
            .collect()
    }
}

fn feed(name: FeedName) -> Feed {
    Feed {
        name,
        source: String::new(),
        format: "auto".to_owned(),
        headers: Vec::new(),
        key_file: None,
        every: Duration::from_secs(3600),
        since: *NOW,
        by: String::new(),
        origin: None,
    }
}

pub(super) fn random(dice: &mut Dice) -> State {
    let mut rules = Rules { per_source: WIDE, total: WIDE, ..Rules::default() };
    rules.product = Some(*dice.pick(&Product::ALL));
    if dice.one_in(4) {
        rules.per_source = TIGHT;
    }
    if dice.one_in(4) {
        rules.media = MediaSources::Any;
    }
    for name in ["own", "sip", "web"] {
        if dice.one_in(4) {
            let ports = (0..dice.below(4)).map(|_| random_ports(dice)).collect();
            rules.services.insert(name.parse().unwrap(), ports);
        }
    }
    let (feeds, countries, long) = (Vec::new(), Vec::new(), Arc::default());
    let learned = Learned::default();
    let mut state = State {
        records: features::State::default(),
        rules,
        feeds,
        long,
        countries,
        learned,
        by_tcp: Vec::new(),
        conditions: Vec::new(),
    };
    let names: Vec<ServiceName> = state.catalogue().0.into_keys().collect();
    state.rules.open = (0..dice.below(5)).map(|_| dice.pick(&names).clone()).collect();
    for name in state.rules.open.clone() {
        if let Some(hours) = random_hours(dice) {
            state.rules.open_hours.insert(name, hours);
        }
    }
    let mode = if dice.one_in(3) { Mode::Allowlist } else { Mode::Open };
    state.change(firewall::set_mode(mode));
    state.change(firewall::set_protection(match dice.below(12) {
        0 => Protection::Off,
        1 => Protection::Trial { since: *NOW, until: *NOW, before: None, before_since: None },
        _ => Protection::On { since: *NOW },
    }));
    for number in 0..dice.below(9) {
        let account = random_account(dice, number, &names);
        state.change(accounts::put(account));
    }
    for number in 0..dice.below(3) {
        state.change(providers::put(random_provider(dice, number, &names)));
    }
    for _ in 0..dice.below(6) {
        let range = random_range(dice);
        let block = Block {
            range,
            until: dice.one_in(8).then_some(*NOW),
            reason: String::new(),
            since: *NOW,
            by: String::new(),
        };
        state.change(blocks::put(block));
    }
    for _ in 0..dice.below(4) {
        let cause = DenialCause::AccountGone { account: "gone".to_owned() };
        let mut denial = Denial::new(random_range(dice), cause, *NOW);
        if dice.one_in(3) {
            denial.scope = DenialScope::ExceptMedia;
        }
        state.change(denials::put(denial));
    }
    for number in 0..dice.below(4) {
        state.change(exemptions::put(random_exemption(dice, number)));
    }
    state.by_tcp = (0..dice.below(8)).map(|_| random_range(dice)).collect();
    // Now and then exactly the range of an account.
    let first = state.records.accounts.all.values().next().and_then(|a| a.ranges().next());
    if let (true, Some(range)) = (dice.one_in(3), first) {
        let (reason, by) = (String::new(), String::new());
        state.change(blocks::put(Block { range, until: None, reason, since: *NOW, by }));
    }
    add_bans(dice, &mut state);
    add_lists(dice, &mut state);
    if dice.one_in(2) {
        add_leases(dice, &mut state, &names);
    }
    if dice.one_in(2) {
        knocks::add(dice, &mut state, &names);
    }
    state.conditions.sort_unstable();
    state.conditions.dedup_by_key(|element| (element.set, element.key));
    state
}

/// Bans of addresses and networks, some of which have ended, and limits that nothing exceeds.
fn add_bans(dice: &mut Dice, state: &mut State) {
    let limit = WIDE;
    let config = bans::Config { limit, ..bans::Config::default() };
    state.records.configure(&Config { bans: config, ..Config::default() });
    for _ in 0..dice.below(6) {
        let at = random_range(dice).first_address();
        let prefix = if at.is_ipv4() { 32 } else { *dice.pick(&[64, 64, 56, 48]) };
        let range = AddrRange::network(at, prefix).unwrap();
        let until = if dice.one_in(5) { *NOW } else { NOW.after(Duration::from_secs(3600)) };
        let is_limit = dice.one_in(3) && (at.is_ipv4() || prefix == 64);
        let limit = is_limit.then(|| Limit {
            services: BTreeSet::from([*dice.pick(&Limited::ALL)]),
            strict: false,
            free: BTreeSet::new(),
        });
        let except = match dice.one_in(4) {
            true if at.is_ipv6() => vec![AddrRange::from(at)],
            _ => Vec::new(),
        };
        state.change(bans::put(Ban {
            range,
            since: *NOW,
            until,
            times: 1,
            remembered: NOW.after(Duration::from_secs(86_400)),
            cause: BanCause::ByHand { by: String::new(), reason: String::new() },
            except,
            limit,
        }));
    }
}

/// Leases, some of them within hours or outside, and some that the kernel no longer honours.
fn add_leases(dice: &mut Dice, state: &mut State, names: &[ServiceName]) {
    let first = state.records.accounts.all.values().next().and_then(|a| a.ranges().next());
    for number in 0..=dice.below(5) {
        let range = first.filter(|_| dice.one_in(4)).unwrap_or_else(|| random_range(dice));
        let address = range.first_address();
        let permanent = dice.one_in(4);
        let key = LeaseKey { user: format!("user-{}", number / 2).into(), address, permanent };
        let services = random_grant(dice, names);
        let hours = random_hours(dice);
        let (credential, until) = ("knock".to_owned(), None);
        let idle = *dice.pick(&[600, 3600]);
        let lease = Lease { key, credential, services, hours, idle, since: *NOW, until };
        state.change(leases::put(lease));
        for set in condition::SETS {
            if !dice.one_in(3) {
                let until = NOW.after(Duration::from_secs(50));
                state.conditions.push(Element { set, key: condition::key(address), until });
            }
        }
    }
}

/// Feeds that overlap, countries of which some are shut out, and something that is never listed.
fn add_lists(dice: &mut Dice, state: &mut State) {
    for _ in 0..dice.below(4) {
        state.feeds.push((0..dice.below(12)).map(|_| random_range(dice)).collect());
    }
    if dice.one_in(6) {
        state.long = Arc::new(long(dice));
        // Networks of other lists within it, and around it.
        let ranges: Vec<AddrRange> = state.long.iter().collect();
        let some = (0..8).map(|_| widened(dice, *dice.clone().pick(&ranges))).collect();
        state.feeds.push(some);
    }
    let codes = ["DE", "US", "CN"].map(|code| code.parse().unwrap());
    for _ in 0..dice.below(10) {
        state.countries.push((random_range(dice), *dice.pick(&codes)));
    }
    let rules = &mut state.records.countries.rules;
    match dice.below(4) {
        0 => rules.blocked = BTreeSet::from([*dice.pick(&codes)]),
        1 => rules.only = BTreeSet::from([*dice.pick(&codes)]),
        _ => {}
    }
    let mut site = state.records.posture().site.clone();
    for _ in 0..dice.below(3) {
        let range = AddrRange::from(random_range(dice).first_address());
        site.guarded.push((range, "the gateway".to_owned()));
    }
    state.change(firewall::set_site(site));
}

/// So many single addresses, pairs and small networks of both families that the kernel keeps them
/// in hash tables, and between them what has to be in trees.
fn long(dice: &mut Dice) -> RangeList {
    const PLACES: u128 = 32_768;
    const NOTHING: (u128, u128) = (1, 0);
    let mut list = RangeList::new();
    for start in ["198.18.0.0", "2001:db8:f::"] {
        let start = AddrRange::from(start.parse::<std::net::IpAddr>().unwrap());
        for place in 0..PLACES {
            let at = start.first() + place * 4;
            let (from, to) = match place % 2 {
                0 => *dice.pick(&[(0, 3), (0, 3), (0, 3), (0, 3), NOTHING]),
                _ => *dice.pick(&[(1, 1), (1, 1), (1, 2), (1, 2), (0, 0), NOTHING]),
            };
            list.extend(AddrRange::new(start.family(), at + from, at + to));
        }
    }
    list.merge();
    list
}

/// A network around a range, or within it.
fn widened(dice: &mut Dice, range: AddrRange) -> AddrRange {
    let bits = u32::try_from(dice.below(12)).unwrap();
    network(range.family(), range.first(), range.family().bits() - bits)
}

/// A smaller state for each thing that can be left out.
pub(super) fn smaller(state: &State) -> Vec<State> {
    let mut smaller = Vec::new();
    let records = &state.records;
    for name in records.accounts.all.keys() {
        let mut less = state.clone();
        less.change(accounts::removed(name.clone()));
        smaller.push(less);
    }
    for name in records.providers.all.keys() {
        let mut less = state.clone();
        less.change(providers::removed(name.clone()));
        smaller.push(less);
    }
    for range in records.blocks.all.keys() {
        let mut less = state.clone();
        less.change(blocks::removed(*range));
        smaller.push(less);
    }
    for range in records.bans.all.keys() {
        let mut less = state.clone();
        less.change(bans::removed(*range));
        smaller.push(less);
    }
    for name in records.exemptions.all.keys() {
        let mut less = state.clone();
        less.change(exemptions::removed(name.clone()));
        smaller.push(less);
    }
    for range in records.denials.all.keys() {
        let mut less = state.clone();
        less.change(denials::removed(*range));
        smaller.push(less);
    }
    for key in records.leases.all.keys() {
        let mut less = state.clone();
        less.change(leases::removed(key.clone()));
        smaller.push(less);
    }
    for name in records.users.all.keys() {
        let mut less = state.clone();
        users::removed(name.clone()).into_iter().for_each(|change| less.change(change));
        smaller.push(less);
    }
    for account in records.accounts.all.values() {
        for place in 0..account.entries.len() {
            if account.entries.len() > 1 {
                let mut less = state.clone();
                let mut account = account.clone();
                account.entries.remove(place);
                less.change(accounts::put(account));
                smaller.push(less);
            }
        }
        if account.hours.is_some() {
            let mut less = state.clone();
            less.change(accounts::put(Account { hours: None, ..account.clone() }));
            smaller.push(less);
        }
        if let Grant::Some(names) = &account.services {
            for service in &**names {
                let mut less = state.clone();
                let fewer = names.iter().filter(|name| *name != service).cloned();
                let services = Grant::of(fewer);
                less.change(accounts::put(Account { services, ..account.clone() }));
                smaller.push(less);
            }
        }
    }
    if !state.long.is_empty() {
        smaller.push(State { long: Arc::default(), ..state.clone() });
        for half in 0..2 {
            let keeps = |(place, _): &(usize, AddrRange)| (place * 2 / state.long.len()) == half;
            let less = state.long.iter().enumerate().filter(keeps).map(|(_, range)| range);
            smaller.push(State { long: Arc::new(less.collect()), ..state.clone() });
        }
    }
    for place in 0..state.feeds.len() {
        let mut less = state.clone();
        less.feeds.remove(place);
        smaller.push(less);
    }
    for place in 0..state.countries.len() {
        let mut less = state.clone();
        less.countries.remove(place);
        smaller.push(less);
    }
    for service in &state.rules.open {
        let mut less = state.clone();
        less.rules.open.remove(service);
        smaller.push(less);
    }
    if !state.rules.services.is_empty() {
        let mut less = state.clone();
        less.rules.services = BTreeMap::new();
        smaller.push(less);
    }
    smaller
}
