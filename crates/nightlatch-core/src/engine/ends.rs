//! What ends by itself.

use super::Engine;
use super::plan::Plan;
use crate::audit::{Record, ourselves};
use crate::ledger::{Change, is_over};
use crate::time::Time;

impl Engine {
    /// The accounts and blocks whose end has come, as one change.
    pub(super) fn ended(&self, now: Time) -> Option<Plan> {
        let us = ourselves();
        let mut plan = Plan::new(&us, "what was for a time has ended");
        let mut names: Vec<String> = Vec::new();
        for account in self.ledger.accounts.ended(now) {
            plan.records.push(Record::new(&us, "expire", &account.name, account, &()));
            plan.changes.push(Change::DropAccount(account.name.clone()));
            names.push(format!("account \"{}\" has ended", account.name));
            // Trunks among them stay: this host is registered there.
            let _ = self.close(&mut plan, account, now);
        }
        for block in self.ledger.blocks.ended(now) {
            plan.records.push(Record::new(&us, "expire", block.range, block, &()));
            plan.changes.push(Change::DropBlock(block.range));
            names.push(format!("the block of {} has ended", block.range));
            plan.ask_pbx = true;
        }
        plan.must_happen = true;
        plan.tell = Some(names.join("; "));
        (!names.is_empty()).then_some(plan)
    }

    /// What takes back a trial that was not confirmed in time. Once only: it waits for the disk.
    pub(super) fn trial_ended(&self, now: Time) -> Option<Plan> {
        if !is_over(self.ledger.protection.trial_end(), now) || self.is_taking_back() {
            return None;
        }
        let mut plan = self.take_back(&ourselves(), now)?;
        plan.must_happen = true;
        plan.tell = Some("not confirmed in time: the firewall is taken back".to_owned());
        Some(plan)
    }
}
