//! Up, confirm, rollback, down.

use super::Engine;
use super::plan::{Decision, Plan, Work, no};
use crate::action::Flows;
use crate::api::{Caller, Refusal, Reply, Up};
use crate::audit::Record;
use crate::ledger::{Block, Change, Mode, Protection};
use crate::service::Catalogue;
use crate::time::{Time, show_span};

/// What `up` adds where it leaves the machine without a door.
const NOBODY: &str = "\nattention: NOBODY from outside gets in, you neither: there is no account yet; \"nightlatch allow NAME ADDRESS\" makes one";

impl Engine {
    /// Puts the firewall up. Accounts that exist stay as they are, so a second `up` keeps them.
    pub(super) fn up(&self, caller: &Caller, up: Up, now: Time) -> Result<Decision, Refusal> {
        let stood = self.ledger.protection.stands();
        let mode = up.mode.unwrap_or(self.ledger.mode);
        let mut changes = Vec::new();
        let mut records = Vec::new();
        let mut attention = String::new();
        for (guarded, what) in &up.site.guarded {
            let blocked = self.ledger.blocks_at(now).find(|block| block.range.overlaps(guarded));
            if let Some(Block { range, .. }) = blocked {
                attention += &format!(
                    "\nattention: {guarded}, {what}, is shut out by a block: \"nightlatch unblock {range}\""
                );
            }
        }
        let someone = self.ledger.accounts_at(now).next().is_some() || !up.accounts.is_empty();
        if mode == Mode::Allowlist && !someone {
            attention += NOBODY;
        }
        if self.ledger.site != up.site {
            records.push(Record::new(caller, "survey", "server", &self.ledger.site, &up.site));
            changes.push(Change::SetSite(up.site));
        }
        for new in up.accounts {
            if !self.ledger.accounts.contains_key(&new.name) {
                let account = self.new_account(caller, new, now)?;
                records.push(Record::new(caller, "allow", &account.name, &(), &account));
                changes.extend(self.denials_ended_by(&account));
                changes.push(Change::PutAccount(account));
            }
        }
        let closing = self.ledger.mode == Mode::Open && mode == Mode::Allowlist;
        if self.ledger.mode != mode {
            records.push(Record::new(caller, "mode", "mode", &self.ledger.mode, &mode));
            changes.push(Change::SetMode(mode));
            if mode == Mode::Open {
                changes.extend(self.unlisted_allowed(&self.rules));
            }
        }
        // While a trial is on, asking for another begins it anew: only `confirm` confirms.
        let on_trial = self.ledger.protection.trial_end().is_some();
        let risky = !stood || on_trial || self.ledger.mode != mode;
        let protection = self.protection_after(up.trial.filter(|_| risky), now);
        if self.ledger.protection != protection {
            records.push(Record::new(caller, "up", mode, &self.ledger.protection, &protection));
            changes.push(Change::SetProtection(protection.clone()));
        }
        let mut unlisted = Plan::new(caller, "");
        unlisted.changes = changes;
        self.deny_unlisted(caller, &mut unlisted, &up.pbx, mode, now);
        if unlisted.changes.is_empty() {
            let message =
                format!("the firewall is up already, and nothing has to change{attention}");
            return Ok(Decision::Answer(Reply::Done { message }));
        }
        let mut plan = Plan::new(caller, up_message(&protection, mode, now) + &attention);
        plan.changes = unlisted.changes;
        plan.records = records;
        plan.records.extend(unlisted.records);
        plan.unlearn = unlisted.unlearn;
        plan.cut = unlisted.cut;
        if closing {
            self.close_signalling(&mut plan, now);
        }
        // What strangers had open before goes on only where the new order lets it in.
        if !stood {
            plan.cut = Some(Flows::BegunByPeers);
        }
        plan.teach = up.pbx.initial_peers(&self.catalogue_after(&plan));
        plan.ask_pbx = true;
        if up.dry_run {
            return Ok(Decision::Answer(plan.reply));
        }
        Ok(plan.decided())
    }

    /// The services after the change: `up` may have found other ports.
    fn catalogue_after(&self, plan: &Plan) -> Catalogue {
        let site = plan.changes.iter().find_map(|change| match change {
            Change::SetSite(site) => Some(site),
            _ => None,
        });
        self.rules.catalogue(site.unwrap_or(&self.ledger.site))
    }

    fn protection_after(&self, trial: Option<std::time::Duration>, now: Time) -> Protection {
        let (before, before_since) = match &self.ledger.protection {
            Protection::Off => (None, None),
            Protection::On { since } => (Some(self.ledger.mode), Some(*since)),
            Protection::Trial { before, before_since, .. } => (*before, *before_since),
        };
        match trial {
            Some(span) => {
                Protection::Trial { since: now, until: now.after(span), before, before_since }
            }
            None => Protection::On { since: before_since.unwrap_or(now) },
        }
    }

    pub(super) fn confirm(&self, caller: &Caller, now: Time) -> Result<Decision, Refusal> {
        let Protection::Trial { since, until, before_since, .. } = &self.ledger.protection else {
            return Err(no(match self.ledger.protection {
                Protection::On { .. } => {
                    "there is nothing to confirm: the firewall is up and stays"
                }
                _ => {
                    "there is nothing to confirm: the firewall is not up (or was taken back already); \"nightlatch up\" puts it up"
                }
            }));
        };
        if *until <= now {
            return Err(no(
                "too late: the firewall is being taken back; \"nightlatch up\" puts it up again",
            ));
        }
        let protection = Protection::On { since: before_since.unwrap_or(*since) };
        let mut plan = Plan::new(caller, "confirmed: the firewall stays");
        plan.records =
            vec![Record::new(caller, "confirm", "firewall", &self.ledger.protection, &protection)];
        plan.changes = vec![Change::SetProtection(protection)];
        Ok(plan.decided())
    }

    pub(super) fn rollback(&self, caller: &Caller, now: Time) -> Result<Decision, Refusal> {
        match self.take_back(caller, now) {
            Some(plan) => Ok(plan.decided()),
            None => Err(no(
                "there is nothing to take back: no unconfirmed change is on; \"nightlatch down\" takes the firewall off",
            )),
        }
    }

    /// Takes an unconfirmed trial back to what stood before.
    pub(super) fn take_back(&self, caller: &Caller, now: Time) -> Option<Plan> {
        let Protection::Trial { before, before_since, since, .. } = &self.ledger.protection else {
            return None;
        };
        let (protection, mode, message) = match before {
            None => (
                Protection::Off,
                None,
                "taken back: the firewall is off, as it was before".to_owned(),
            ),
            Some(mode) => {
                let since = before_since.unwrap_or(*since);
                let message = format!("taken back: the mode is {mode} again");
                (Protection::On { since }, Some(*mode), message)
            }
        };
        let mut plan = Plan::new(caller, message);
        plan.ends = Some(Work::TakeBack);
        plan.records =
            vec![Record::new(caller, "rollback", "firewall", &self.ledger.protection, &protection)];
        plan.changes = mode.map(Change::SetMode).into_iter().collect();
        match mode {
            Some(Mode::Open) => plan.changes.extend(self.unlisted_allowed(&self.rules)),
            Some(Mode::Allowlist) if self.ledger.mode == Mode::Open => {
                self.close_signalling(&mut plan, now);
            }
            _ => {}
        }
        plan.changes.push(Change::SetProtection(protection));
        Some(plan)
    }

    pub(super) fn down(&self, caller: &Caller) -> Decision {
        if !self.ledger.protection.stands() {
            return Decision::Answer(Reply::Done {
                message: "the firewall is off already".to_owned(),
            });
        }
        let mut plan = Plan::new(
            caller,
            "the firewall is off: every service of this machine answers everybody again; accounts are kept, \"nightlatch up\" puts it up again",
        );
        plan.records = vec![Record::new(
            caller,
            "down",
            "firewall",
            &self.ledger.protection,
            &Protection::Off,
        )];
        plan.changes = vec![Change::SetProtection(Protection::Off)];
        plan.decided()
    }
}

fn up_message(protection: &Protection, mode: Mode, now: Time) -> String {
    match protection.trial_end() {
        Some(until) => format!(
            "the firewall is up in mode {mode}, on trial: in {} it is taken back unless you run \"nightlatch confirm\"",
            show_span(until.since(now))
        ),
        None => format!("the firewall is up in mode {mode}"),
    }
}
