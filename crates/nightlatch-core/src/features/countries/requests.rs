//! What is asked about countries, what is refused, what follows.

use std::collections::BTreeSet;

use nightlatch_parse::country::CountryCode;
use serde::{Deserialize, Serialize};

use super::{
    Countries, CountryAsker, CountryRules, Deed, Event, Key, Outcome, READING, Record, TakenBack,
};
use crate::AddrRange;
use crate::api::RefusalKind;
use crate::features::{Feature, Plan, Refuses, View, Want};
use crate::posture::Mode;
use crate::time::Time;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Shut countries out.
    Block(BTreeSet<CountryCode>),
    /// Shut them out no longer.
    Unblock(BTreeSet<CountryCode>),
    /// Let strangers in only from these; from everywhere where there are none.
    Allow(BTreeSet<CountryCode>),
    /// Which countries are shut out.
    List,
    /// Read the table now; if forced, believe it whatever its size.
    Refresh,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The rules are set.
    Set {
        /// What they are now.
        rules: CountryRules,
        /// Whether there is a table.
        has_table: bool,
        /// What strangers meet.
        mode: Mode,
    },
    /// These countries were shut out already.
    BlockedAlready(BTreeSet<CountryCode>),
    /// Strangers came in only from these already; from everywhere where there are none.
    OnlyAlready(BTreeSet<CountryCode>),
    /// The table is being read.
    Reading,
    /// Which countries are shut out.
    All(Box<Shown>),
    /// An address is shut out by its country.
    Held(Held),
    /// How many countries are named, and what is wrong with the table.
    Report {
        /// How many.
        count: usize,
        /// What is wrong.
        trouble: Option<Trouble>,
    },
}

/// Which countries are shut out, and how it goes with the table of countries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Which are shut out.
    pub rules: CountryRules,
    /// Where the table comes from.
    pub source: Vec<String>,
    /// When the table in force was taken in.
    pub taken: Option<Time>,
    /// What came of the last look at the source.
    pub result: Outcome,
    /// Whether that look failed.
    pub failed: bool,
    /// Why the last change of the rules was taken back, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<TakenBack>,
    /// Whether the table in force is so old that it should be doubted.
    #[serde(default)]
    pub stale: bool,
    /// Whether it is being read now, or is next to be.
    pub reading: bool,
    /// How many ranges the table has.
    pub ranges: usize,
    /// How much the named countries have.
    pub sizes: Vec<CountrySize>,
}

/// How much a country has in the table in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountrySize {
    /// The country.
    pub country: CountryCode,
    /// Ranges of IPv4.
    pub v4_ranges: usize,
    /// Addresses of IPv4.
    pub v4_addresses: u64,
    /// Ranges of IPv6.
    pub v6_ranges: usize,
}

/// What shuts an address out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// Its country; none where it belongs to no country and only some are let in.
    pub country: Option<CountryCode>,
    /// The range of the table that says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<AddrRange>,
    /// When the table was read, or last confirmed by its source.
    pub fetched: Option<Time>,
}

/// What is wrong with the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trouble {
    /// What came of the last look.
    pub result: Outcome,
    /// Whether there is a table.
    pub has_table: bool,
    /// Whether it is old.
    pub stale: bool,
}

/// What is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// None of these is blocked.
    NotBlocked {
        /// The countries.
        countries: BTreeSet<CountryCode>,
        /// The only ones that are let in, where there are any.
        only: BTreeSet<CountryCode>,
    },
    /// A country that is blocked is to be let in.
    Blocked {
        /// The countries.
        both: BTreeSet<CountryCode>,
    },
    /// A country that is one of the only ones is to be blocked.
    OneOfTheOnly {
        /// The only ones.
        only: BTreeSet<CountryCode>,
        /// The countries.
        both: BTreeSet<CountryCode>,
    },
    /// No country is shut out, so no table is needed.
    NoneNamed,
}

impl Refuses for Refusal {
    fn kind(&self) -> RefusalKind {
        RefusalKind::No
    }
}

type Codes = BTreeSet<CountryCode>;

impl Countries {
    pub(super) fn block(
        &self,
        countries: &Codes,
        view: &View<'_>,
    ) -> Result<Plan<Countries>, Refusal> {
        let mut rules = self.rules.clone();
        rules.blocked.extend(countries);
        self.set(rules, Deed::Block, || Reply::BlockedAlready(countries.clone()), view)
    }

    pub(super) fn unblock(
        &self,
        countries: &Codes,
        view: &View<'_>,
    ) -> Result<Plan<Countries>, Refusal> {
        let mut rules = self.rules.clone();
        if rules.blocked.is_disjoint(countries) {
            return Err(Refusal::NotBlocked { countries: countries.clone(), only: rules.only });
        }
        rules.blocked.retain(|country| !countries.contains(country));
        self.set(rules, Deed::Unblock, || Reply::BlockedAlready(countries.clone()), view)
    }

    pub(super) fn allow(&self, only: Codes, view: &View<'_>) -> Result<Plan<Countries>, Refusal> {
        let rules = CountryRules { only: only.clone(), ..self.rules.clone() };
        self.set(rules, Deed::Allow, || Reply::OnlyAlready(only), view)
    }

    /// Sets rules, unless they hold already.
    fn set(
        &self,
        rules: CountryRules,
        deed: Deed,
        already: impl FnOnce() -> Reply,
        view: &View<'_>,
    ) -> Result<Plan<Countries>, Refusal> {
        let before = &self.rules;
        if *before == rules {
            let mut plan = Plan::say(already());
            plan.at_once.push(Event::Acknowledged);
            return Ok(plan);
        }
        let both: Codes = rules.blocked.intersection(&rules.only).copied().collect();
        if !both.is_empty() {
            return Err(match before.blocked.is_disjoint(&both) {
                false => Refusal::Blocked { both },
                true => Refusal::OneOfTheOnly { only: before.only.clone(), both },
            });
        }
        let (has_table, mode) = (self.table.is_there(), view.posture().mode);
        let mut plan = Plan::say(Reply::Set { rules: rules.clone(), has_table, mode });
        // Without rules there is nothing to read, nor anything to believe by force.
        if rules.is_empty() {
            plan.effects.forgets = Some(READING.to_owned());
        } else {
            plan.effects.wants.push(Want::of(READING));
        }
        plan.put(Key::Rules, Record::Rules(rules), deed);
        plan.subject("countries");
        self.spare_asker(&mut plan, view, true);
        plan.effects.changes_lists = true;
        plan.effects.waits_for_up = true;
        Ok(plan)
    }

    /// Remembers who waits for the next table; with `also_after_restart` on disk too. If the caller
    /// insists, nobody is spared.
    pub(super) fn spare_asker(
        &self,
        plan: &mut Plan<Countries>,
        view: &View<'_>,
        also_after_restart: bool,
    ) {
        // Asked for just before, in the same request, it is on nobody's list yet.
        let pending = self.asker.clone().filter(|asker| self.waiting.as_ref() != Some(asker));
        let waiting = pending.or_else(|| self.waiting.clone().filter(|_| self.is_reading(view)));
        let before = match waiting {
            Some(asker) => asker.before,
            None => self.rules.clone(),
        };
        let origin = view.caller().origin;
        let asker = (!view.force()).then_some(CountryAsker { origin, before });
        if also_after_restart {
            match asker.clone() {
                Some(asker) => plan.put(Key::Asker, Record::Asker(asker), None),
                None => plan.remove(Key::Asker, None),
            }
            plan.events.push(Event::Waits(asker));
        } else {
            plan.at_once.push(Event::Waits(asker));
        }
    }

    /// Makes the table due at once.
    pub(super) fn refresh(&self, view: &View<'_>) -> Result<Plan<Countries>, Refusal> {
        if self.rules.is_empty() {
            return Err(Refusal::NoneNamed);
        }
        let mut plan = Plan::say(Reply::Reading);
        self.spare_asker(&mut plan, view, false);
        let (task, asker) = (READING.to_owned(), view.caller().origin);
        plan.effects.wants.push(Want { task, force: view.force(), asker });
        Ok(plan)
    }

    pub(super) fn shown(&self, view: &View<'_>) -> Shown {
        let sizes = self.table.sizes();
        let named = self.rules.named().into_iter().map(|country| {
            let size = sizes.get(&country).copied().unwrap_or_default();
            CountrySize {
                country,
                v4_ranges: size.v4_ranges,
                v4_addresses: size.v4_addresses,
                v6_ranges: size.v6_ranges,
            }
        });
        Shown {
            sizes: named.collect(),
            source: view.config().countries.source.clone(),
            taken: self.table.taken,
            result: self.look.result.clone(),
            failed: self.look.failed,
            taken_back: self.look.taken_back.clone(),
            stale: self.is_stale(view.now()),
            reading: self.is_reading(view),
            ranges: self.table.len(),
            rules: self.rules.clone(),
        }
    }

    /// Whether the table is being read, or is next to be. If no country is named, a
    /// reading that was wanted does not begin.
    fn is_reading(&self, view: &View<'_>) -> bool {
        let is_wanted = view.schedule().is_busy(Countries::NAME, &READING);
        let is_due = self.look.next() <= view.now();
        view.schedule().running(Countries::NAME, &READING).is_some()
            || !self.rules.is_empty() && (is_wanted || is_due)
    }

    /// What is wrong with the table, where one is needed.
    pub(super) fn trouble(&self, now: Time) -> Option<Trouble> {
        let stale = self.is_stale(now);
        let is_wrong = !self.rules.is_empty() && (self.look.failed || stale);
        is_wrong.then(|| Trouble {
            result: self.look.result.clone(),
            has_table: self.table.is_there(),
            stale,
        })
    }
}
