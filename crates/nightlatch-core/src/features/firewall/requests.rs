//! Up, confirm, rollback, down, mode: what is asked, what is refused, what follows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Deed, Firewall, Notice, Setting, Value};
use crate::action::Flows;
use crate::api::RefusalKind;
use crate::config::Rules;
use crate::features::{Fact, Plan, Refuses, Step, View};
use crate::hours::Hours;
use crate::pbx::PbxPeers;
use crate::policy;
use crate::posture::{Mode, Protection, Site};
use crate::product::Product;
use crate::service::{Catalogue, Ports, ServiceName};
use crate::time::Time;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Put the firewall up.
    Up(Up),
    /// Keep what is on trial.
    Confirm,
    /// Take back what is on trial.
    Rollback,
    /// Take the firewall off.
    Down,
    /// Set what strangers meet.
    Mode {
        /// The mode.
        mode: Mode,
    },
    /// The services of this server.
    Services,
    /// Whether the firewall is up, on trial or off.
    Protection,
}

/// The firewall to put up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Up {
    /// What strangers are to meet; as it was where absent.
    pub mode: Option<Mode>,
    /// What was found out about the server.
    pub site: Site,
    /// After how long to take everything back unless confirmed; never where absent.
    pub trial: Option<Duration>,
    /// What the PBX reports about its peers.
    #[serde(default)]
    pub pbx: PbxPeers,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The firewall is up.
    Up {
        /// Until when it is on trial.
        trial: Option<Time>,
        /// What strangers meet.
        mode: Mode,
        /// When this was decided.
        at: Time,
    },
    /// The trial is confirmed.
    Confirmed,
    /// The trial is taken back.
    TakenBack {
        /// The mode that stands again; none if the firewall is off, as it was before.
        to: Option<Mode>,
    },
    /// The firewall is off.
    Down,
    /// It was off already.
    OffAlready,
    /// The mode is set.
    ModeSet {
        /// The mode.
        mode: Mode,
        /// What strangers reach in mode open.
        open: Vec<ServiceName>,
    },
    /// The mode was that already.
    ModeAlready {
        /// The mode.
        mode: Mode,
    },
    /// The configuration was read again.
    ConfigurationRead,
    /// The services of this server.
    Services(Services),
    /// Whether the firewall is up.
    Protection {
        /// Whether it is up, on trial or off.
        protection: Protection,
        /// What strangers meet.
        mode: Mode,
    },
    /// How the firewall stands.
    Report {
        /// Whether it is up, on trial or off.
        protection: Protection,
        /// What strangers meet.
        mode: Mode,
        /// What strangers reach while it is up.
        strangers_reach: Vec<Reached>,
    },
}

/// The services of this server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Services {
    /// The telephone server they come from.
    pub product: Product,
    /// Every service with its ports.
    pub services: Catalogue,
    /// Those that answer strangers in open mode.
    pub open: Vec<ServiceName>,
    /// What strangers meet now.
    pub mode: Mode,
}

/// A service that strangers reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// The service.
    pub service: ServiceName,
    /// Its ports.
    pub ports: Vec<Ports>,
    /// Whether only under the rate limits.
    pub limited: bool,
    /// The hours during which they do; always where absent.
    #[serde(default)]
    pub hours: Option<Hours>,
}

/// What is refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Nothing is on trial.
    NothingToConfirm {
        /// Whether the firewall is up.
        stands: bool,
    },
    /// The trial is over.
    TooLate,
    /// Nothing is on trial.
    NothingToTakeBack,
}

impl Refuses for Refusal {
    fn kind(&self) -> RefusalKind {
        RefusalKind::No
    }
}

impl Firewall {
    /// Puts the firewall up.
    pub(super) fn up(&self, up: Up, view: &View<'_>) -> Plan<Firewall> {
        let posture = &self.posture;
        let stood = posture.stands();
        let mode = up.mode.unwrap_or(posture.mode);
        let mut plan = Plan::default();
        if posture.site != up.site {
            plan.set(Value::Site(up.site), Deed::Survey, "server");
        }
        if posture.mode != mode {
            plan.set(Value::Mode(mode), Deed::Mode, "mode");
        }
        // While a trial is on, asking for another begins it anew: only `confirm` confirms.
        let on_trial = posture.protection.trial_end().is_some();
        let risky = !stood || on_trial || posture.mode != mode;
        let protection = self.protection_after(up.trial.filter(|_| risky), view.now());
        let trial = protection.trial_end();
        if posture.protection != protection {
            plan.set(Value::Protection(protection), Deed::Up, &mode.to_string());
        }
        // What strangers had open before goes on only where the new order lets it in.
        if !stood {
            plan.effects.cut = Some(Flows::BegunByPeers);
        }
        plan.effects.may_lock_out = trial.is_some();
        plan.effects.facts.push(Fact::PutUp { stood, pbx: up.pbx });
        if posture.mode != mode {
            plan.effects.facts.push(signalling(mode));
        }
        plan.said.push(Reply::Up { trial, mode, at: view.now() });
        plan
    }

    fn protection_after(&self, trial: Option<Duration>, now: Time) -> Protection {
        let (before, before_since) = match &self.posture.protection {
            Protection::Off => (None, None),
            Protection::On { since } => (Some(self.posture.mode), Some(*since)),
            Protection::Trial { before, before_since, .. } => (*before, *before_since),
        };
        match trial {
            Some(span) => {
                Protection::Trial { since: now, until: now.after(span), before, before_since }
            }
            None => Protection::On { since: before_since.unwrap_or(now) },
        }
    }

    pub(super) fn confirm(&self, now: Time) -> Result<Plan<Firewall>, Refusal> {
        let Protection::Trial { since, until, before_since, .. } = &self.posture.protection else {
            return Err(Refusal::NothingToConfirm { stands: self.posture.stands() });
        };
        if *until <= now {
            return Err(Refusal::TooLate);
        }
        let protection = Protection::On { since: before_since.unwrap_or(*since) };
        let mut plan = Plan::say(Reply::Confirmed);
        plan.set(Value::Protection(protection), Deed::Confirm, "firewall");
        Ok(plan)
    }

    /// Takes an unconfirmed trial back to what stood before.
    pub(super) fn take_back(&self) -> Option<Plan<Firewall>> {
        let Protection::Trial { before, before_since, since, .. } = &self.posture.protection else {
            return None;
        };
        let protection = match before {
            None => Protection::Off,
            Some(_) => Protection::On { since: before_since.unwrap_or(*since) },
        };
        let mut plan = Plan::say(Reply::TakenBack { to: *before });
        plan.effects.may_lock_out = true;
        if let Some(mode) = before {
            plan.change(Value::Mode(*mode), None);
            plan.effects.facts.extend((*mode != self.posture.mode).then_some(signalling(*mode)));
        }
        plan.set(Value::Protection(protection), Deed::Rollback, "firewall");
        Some(plan)
    }

    pub(super) fn down(&self, view: &View<'_>) -> Plan<Firewall> {
        if !self.posture.stands() {
            return Plan::say(Reply::OffAlready);
        }
        let mut plan = Plan::say(Reply::Down);
        plan.set(Value::Protection(Protection::Off), Deed::Down, "firewall");
        plan.notices.push(Notice::Off { by: view.caller().to_string() });
        plan
    }

    pub(super) fn set_mode(&self, mode: Mode, view: &View<'_>) -> Plan<Firewall> {
        if self.posture.mode == mode {
            return Plan::say(Reply::ModeAlready { mode });
        }
        let open = view.rules().open.iter().cloned().collect();
        let mut plan = Plan::say(Reply::ModeSet { mode, open });
        plan.set(Value::Mode(mode), Deed::Mode, "mode");
        plan.effects.facts.push(signalling(mode));
        plan.effects.waits_for_up = true;
        plan
    }

    pub(super) fn services(&self, view: &View<'_>) -> Reply {
        let rules = view.rules();
        Reply::Services(Services {
            product: rules.product.unwrap_or(self.posture.site.product),
            services: view.catalogue().clone(),
            open: rules.open.iter().cloned().collect(),
            mode: self.posture.mode,
        })
    }

    pub(super) fn standing(&self, view: &View<'_>) -> Reply {
        let is_open = self.posture.stands() && self.posture.mode == Mode::Open;
        let rules = view.rules();
        let open = is_open.then(|| view.catalogue().with_brought(&rules.open));
        let always = view.catalogue().with_brought(rules.always_open());
        let reached = open.into_iter().flatten().map(|name| {
            let brings =
                |opened: &ServiceName| view.catalogue().with_brought([opened]).contains(name);
            let by_hours = rules.open_by_hours().into_iter();
            let mut by_hours = by_hours.filter(|(_, names)| names.iter().any(|it| brings(it)));
            let hours = by_hours.next().filter(|_| !always.contains(name));
            let service = view.catalogue().get(name);
            Reached {
                service: name.clone(),
                ports: service.map_or_else(Vec::new, |service| service.ports.clone()),
                limited: service.is_some_and(|service| service.limited),
                hours: hours.map(|(hours, _)| hours.clone()),
            }
        });
        Reply::Report {
            protection: self.posture.protection.clone(),
            mode: self.posture.mode,
            strangers_reach: reached.collect(),
        }
    }
}

impl Plan<Firewall> {
    fn set(&mut self, value: Value, deed: Deed, subject: &str) {
        self.change(value, Some((deed, subject)));
    }

    fn change(&mut self, value: Value, deed: Option<(Deed, &str)>) {
        let key = match value {
            Value::Mode(_) => Setting::Mode,
            Value::Protection(_) => Setting::Protection,
            Value::Site(_) => Setting::Site,
        };
        let put = crate::features::Put { key, record: Some(value) };
        let (deed, subject) = deed.map(|(deed, subject)| (deed, subject.to_owned())).unzip();
        self.changes.push(Step { put, deed, subject });
    }
}

fn signalling(mode: Mode) -> Fact {
    match mode {
        Mode::Allowlist => Fact::SignallingCloses,
        Mode::Open => Fact::SignallingOpens,
    }
}

/// Whether a new configuration closes something that was open to strangers.
pub(super) fn closes_something(before: &Rules, view: &View<'_>, site: &Site) -> bool {
    let after = policy::open_to_strangers(view.rules(), view.catalogue());
    let before = policy::open_to_strangers(before, &before.catalogue(site));
    before.ports.iter().any(|open| {
        let covers = |ports: &Ports| {
            ports.contains(open.protocol, open.first) && ports.contains(open.protocol, open.last)
        };
        !after.ports.iter().any(covers)
    })
}
