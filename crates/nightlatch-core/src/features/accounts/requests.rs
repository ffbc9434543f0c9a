//! What is asked about accounts, what is refused, what follows.

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::changes::{Edit, Ends, Terms, tell_names};
use super::{Account, AccountName, Accounts, Deed, Entry, HostName, HostOptions};
use crate::AddrRange;
use crate::api::RefusalKind;
use crate::entry::{apart, without_addresses};
use crate::features::{By, Fact, Plan, Refuses, View};
use crate::hours::Hours;
use crate::near::nearest;
use crate::posture::Mode;
use crate::ranges::{is_everybody, is_nobody_else, is_wide};
use crate::service::{Grant, ServiceName};
use crate::time::Time;

/// The longest note.
pub(super) const MAX_NOTE_LEN: usize = 1000;
/// The most entries of an account.
pub const MAX_ENTRIES: usize = 65_536;
/// How many entries a refusal shows.
pub(super) const SHOWN_ENTRIES: usize = 20;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Make an account.
    Allow(NewAccount),
    /// Make an account unless there is one of that name.
    Ensure(NewAccount),
    /// Make the account of whoever asks. If an account of its name exists, that one is left as it is, and
    /// the addresses that no account allows without an end get one of another name: `admin-2`.
    Admin(NewAccount),
    /// Add entries to an account.
    Add {
        /// Its name.
        name: AccountName,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// Remove entries from an account.
    Drop {
        /// Its name.
        name: AccountName,
        /// The entries: exactly these ranges, and these host names whichever addresses they have.
        entries: Vec<Entry>,
    },
    /// Change what holds for all entries of an account.
    Set {
        /// Its name.
        name: AccountName,
        /// What changes.
        edit: Edit,
    },
    /// Remove an account.
    Remove {
        /// Its name.
        name: AccountName,
    },
    /// All accounts.
    List,
    /// One account.
    Show {
        /// Its name.
        name: AccountName,
    },
}

/// An account to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NewAccount {
    /// Its name.
    pub name: AccountName,
    /// Whom it lets in. Host names are looked up later.
    pub entries: Vec<Entry>,
    /// The services it opens.
    pub services: Grant,
    /// How long it holds; for ever where absent.
    pub lasts: Option<Duration>,
    /// The hours during which it counts; always where absent.
    #[serde(default)]
    pub hours: Option<Hours>,
    /// When it ends, instead of after a time.
    #[serde(default)]
    pub until: Option<Time>,
    /// A note.
    #[serde(default)]
    pub note: String,
    /// What concerns its host names.
    #[serde(default)]
    pub hosts: HostOptions,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The account is open.
    Opened(Account),
    /// It opens telephony only, because it has host names and nobody named the services.
    TelephonyOnly {
        /// Its name.
        name: AccountName,
    },
    /// The account is made because the firewall is put up.
    Made {
        /// Its name.
        name: AccountName,
    },
    /// The account is removed, and its addresses are closed.
    Removed(Account),
    /// Entries are added.
    Added {
        /// The account's name.
        name: AccountName,
        /// Its services.
        services: Grant,
        /// The entries.
        entries: Vec<Entry>,
        /// What was asked for, and is there already.
        there: Vec<Entry>,
    },
    /// Entries are removed.
    Dropped {
        /// The account's name.
        name: AccountName,
        /// The entries.
        entries: Vec<Entry>,
        /// Those of them that other entries of the account still cover.
        covered: Vec<Entry>,
        /// How many entries are left.
        left: usize,
    },
    /// Services, end, note or name are changed; nothing, if both are equal.
    Changed {
        /// What held before.
        before: Box<Terms>,
        /// What holds now.
        after: Box<Terms>,
        /// How many entries it has.
        entries: usize,
    },
    /// The caller reaches SSH by this account alone, which will not always count from now on.
    EndsYours {
        /// The caller's address.
        origin: IpAddr,
        /// When it next does not count.
        at: Time,
        /// Whether it counts again later.
        comes_back: bool,
    },
    /// A block shuts out addresses of the account.
    ShutOut {
        /// Its name.
        name: String,
    },
    /// The account stays open within a block, because it is more specific.
    StaysOpen {
        /// Its name.
        name: String,
    },
    /// There is no account, so that nobody from outside comes in.
    Nobody,
    /// These accounts, by name.
    All(Vec<Account>),
    /// This account.
    One(Account),
    /// How many there are, and which end soon.
    Report {
        /// How many.
        count: usize,
        /// Those that end soon.
        ending: Vec<(AccountName, Time)>,
    },
}

/// What is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// There is no account of that name.
    Unknown {
        /// The name.
        name: AccountName,
        /// The account that was probably meant.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        near: Option<AccountName>,
    },
    /// There is one of that name already.
    Exists {
        /// That one.
        account: Box<Account>,
        /// What was asked for and is not in it.
        more: Vec<Entry>,
    },
    /// The account does not have these entries.
    NotInAccount {
        /// Its name.
        name: AccountName,
        /// The entries.
        missing: Vec<Entry>,
        /// The first entries that it has.
        has: Vec<Entry>,
        /// How many it has in all.
        count: usize,
    },
    /// No entry would be left.
    LastAddress {
        /// The account's name.
        name: AccountName,
    },
    /// It would have more entries than an account may have.
    TooMany {
        /// Its name.
        name: AccountName,
        /// The most.
        most: usize,
    },
    /// It would have ended already.
    Passed {
        /// The end.
        until: Time,
    },
    /// It names no address.
    NoAddress {
        /// The name.
        name: AccountName,
    },
    /// It names no service.
    NoServices,
    /// There is no such service on this server.
    NoSuchService {
        /// The service.
        name: ServiceName,
        /// Those that there are.
        known: Vec<ServiceName>,
    },
    /// Nobody comes in from there.
    NobodyElse {
        /// The range.
        range: AddrRange,
    },
    /// A host name would get all services, which nobody has named for it; it needs force.
    HostForAll {
        /// The account's name.
        name: AccountName,
        /// The host name.
        host: HostName,
    },
    /// Many would be allowed; it needs force.
    Wide {
        /// The range.
        range: AddrRange,
    },
    /// Nearly everybody would come in.
    Everybody {
        /// The range.
        range: AddrRange,
    },
}

impl Refuses for Refusal {
    fn kind(&self) -> RefusalKind {
        match self {
            Refusal::Unknown { .. }
            | Refusal::Exists { .. }
            | Refusal::NotInAccount { .. }
            | Refusal::LastAddress { .. }
            | Refusal::HostForAll { .. }
            | Refusal::Wide { .. } => RefusalKind::No,
            _ => RefusalKind::Wrong,
        }
    }
}

/// How many characters of a name remain in front of a number.
const MAX_BASE: usize = 50;

impl Accounts {
    pub(super) fn known(&self, name: &AccountName) -> Result<&Account, Refusal> {
        self.all.get(name).ok_or_else(|| {
            let names = self.all.keys().map(AccountName::as_str);
            let near = nearest(name.as_str(), names).and_then(|near| near.parse().ok());
            Refusal::Unknown { name: name.clone(), near }
        })
    }

    pub(super) fn allow(
        &self,
        new: NewAccount,
        view: &View<'_>,
    ) -> Result<Plan<Accounts>, Refusal> {
        if let Some(there) = self.all.get(&new.name) {
            let (more, _) = apart(new.entries, &there.entries);
            return Err(Refusal::Exists { account: Box::new(there.clone()), more });
        }
        let is_restricted = new.is_restricted();
        Accounts::check_entries(&new.entries, view)?;
        let account = Accounts::checked(new, view)?;
        let reply = Reply::Opened(account.clone());
        let telephony_only = is_restricted.then(|| account.name.clone());
        let mut plan = Accounts::open(account);
        plan.said.push(reply);
        plan.said.extend(telephony_only.map(|name| Reply::TelephonyOnly { name }));
        plan.effects.waits_for_up = true;
        Ok(plan)
    }

    /// Makes an account without a word about it.
    pub(super) fn ensure(new: NewAccount, view: &View<'_>) -> Result<Plan<Accounts>, Refusal> {
        let account = Accounts::checked(new, view)?;
        let said = Reply::Made { name: account.name.clone() };
        Ok(Plan { said: vec![said], ..Accounts::open(account) })
    }

    /// An account "admin" that exists stays as it is; who comes in by it now and did not before gets
    /// an account of another name, or a second `up` from elsewhere would shut its caller out.
    pub(super) fn admin(
        &self,
        mut new: NewAccount,
        view: &View<'_>,
    ) -> Result<Plan<Accounts>, Refusal> {
        if new.entries.is_empty() {
            return Ok(Plan::default());
        }
        if !self.all.contains_key(&new.name) {
            return Accounts::ensure(new, view);
        }
        let is_known = |range: &AddrRange| {
            self.all.over(*range).any(|(own, account)| {
                account.until.is_none() && account.services == Grant::All && own.covers(range)
            })
        };
        new.entries.retain(|entry| match entry {
            Entry::Range(range) => !is_known(range),
            Entry::Host { .. } => true,
        });
        if new.entries.is_empty() {
            return Ok(Plan::default());
        }
        // With room for the number. There is always a free one among one more than there are accounts.
        let base: String = new.name.as_str().chars().take(MAX_BASE).collect();
        let numbers = 2..=self.all.len().saturating_add(2);
        let mut names = numbers.filter_map(|number| format!("{base}-{number}").parse().ok());
        if let Some(name) = names.find(|name| !self.all.contains_key(name)) {
            new.name = name;
        }
        Accounts::ensure(new, view)
    }

    pub(super) fn open(account: Account) -> Plan<Accounts> {
        let mut plan = Plan::default();
        plan.effects.facts.push(Fact::Allowed {
            name: account.name.to_string(),
            services: account.services.clone(),
            ranges: account.ranges().collect(),
        });
        tell_names(&mut plan, None, Some(&account));
        plan.put(account.name.clone(), account, Deed::Allow);
        plan
    }

    /// Checks a new account and gives it its end.
    pub(super) fn checked(new: NewAccount, view: &View<'_>) -> Result<Account, Refusal> {
        let ends = new.until.map(Ends::At).or(new.lasts.map(Ends::After)).unwrap_or(Ends::Never);
        let services = new.granted(view);
        let (entries, _) = apart(new.entries, &[]);
        let account = Account {
            services,
            name: new.name,
            entries: without_addresses(entries),
            allow_private: new.hosts.allow_private,
            hours: new.hours,
            until: ends.until(view.now())?,
            note: new.note.chars().take(MAX_NOTE_LEN).collect(),
            since: view.now(),
            by: view.caller().to_string(),
        };
        if account.entries.is_empty() {
            return Err(Refusal::NoAddress { name: account.name });
        }
        if account.entries.len() > MAX_ENTRIES {
            return Err(Refusal::TooMany { name: account.name, most: MAX_ENTRIES });
        }
        Accounts::check_services(&account.services, view)?;
        Accounts::check_ranges(&account.entries)?;
        Ok(account)
    }

    pub(super) fn check_services(services: &Grant, view: &View<'_>) -> Result<(), Refusal> {
        if let Grant::Some(names) = services {
            let catalogue = view.catalogue();
            let unknown = names.iter().find(|name| catalogue.get(name).is_none());
            if let Some(unknown) = unknown {
                let known = catalogue.0.keys().cloned().collect();
                return Err(Refusal::NoSuchService { name: unknown.clone(), known });
            }
            if names.is_empty() {
                return Err(Refusal::NoServices);
            }
        }
        Ok(())
    }

    fn check_ranges(entries: &[Entry]) -> Result<(), Refusal> {
        let ranges = || entries.iter().flat_map(Entry::ranges);
        if let Some(range) = ranges().find(is_nobody_else) {
            return Err(Refusal::NobodyElse { range });
        }
        if let Some(range) = ranges().find(is_everybody) {
            return Err(Refusal::Everybody { range });
        }
        Ok(())
    }

    /// Checks entries that a person names: wide ranges need force.
    pub(super) fn check_entries(entries: &[Entry], view: &View<'_>) -> Result<(), Refusal> {
        Accounts::check_ranges(entries)?;
        match entries.iter().flat_map(Entry::ranges).find(is_wide) {
            Some(range) if !view.force() => Err(Refusal::Wide { range }),
            _ => Ok(()),
        }
    }

    pub(super) fn remove(&self, name: &AccountName) -> Result<Plan<Accounts>, Refusal> {
        let account = self.known(name)?;
        let mut plan = Plan::say(Reply::Removed(account.clone()));
        Accounts::close(&mut plan, account, Deed::Remove);
        plan.effects.waits_for_up = true;
        Ok(plan)
    }

    /// Removes an account and ends its running flows.
    pub(super) fn close(plan: &mut Plan<Accounts>, account: &Account, deed: Deed) {
        let ranges: Vec<AddrRange> = account.ranges().collect();
        plan.remove(account.name.clone(), deed);
        tell_names(plan, Some(account), None);
        plan.effects.cut_flows_of(&ranges);
        let name = account.name.to_string();
        plan.effects.facts.push(Fact::Withdrawn { name, ranges });
    }

    /// Says which accounts a block shuts out, and which stay open inside it.
    pub(super) fn within_block(&self, block: AddrRange, view: &View<'_>) -> Plan<Accounts> {
        let mut plan = Plan::default();
        let mut hit = std::collections::BTreeMap::<String, (bool, bool)>::new();
        let of_accounts = |(_, by): &(AddrRange, By<'_>)| matches!(by, By::Accounts(_));
        for (range, by) in view.allowed(block).into_iter().filter(of_accounts) {
            let (shut, stays) = hit.entry(by.to_string()).or_default();
            *shut |= block.width() <= range.width();
            *stays |= block.width() > range.width();
        }
        for (name, (shut, stays)) in hit {
            plan.said.extend(shut.then(|| Reply::ShutOut { name: name.clone() }));
            plan.said.extend(stays.then_some(Reply::StaysOpen { name }));
        }
        // The kernel drops every packet of a block, running or not; what lies open within it
        // (a narrower account) keeps its services only, so other flows of it have to end.
        if self.all.over(block).next().is_some() {
            plan.effects.cut_flows_of(&[block]);
        }
        plan
    }

    /// Says so where nobody from outside comes in.
    pub(super) fn nobody(&self, view: &View<'_>) -> Plan<Accounts> {
        let nobody = self.all.values().all(|it| crate::time::is_over(it.until, view.now()));
        match view.posture().mode {
            Mode::Allowlist if nobody => Plan::say(Reply::Nobody),
            _ => Plan::default(),
        }
    }
}
