//! What the kernel answers, and what another program does to the table.

use std::sync::Arc;

use super::{Engine, To};
use crate::AddrRange;
use crate::Family;
use crate::action::{Action, Flows, Told, Unlearn};
use crate::audit::{Occurrence, ourselves};
use crate::policy::{Claim, Says};
use crate::ruleset;
use crate::time::Time;
use crate::trouble::Trouble;

impl Engine {
    /// Sends what follows from a change that took effect.
    pub(super) fn project(
        &mut self,
        touched: &[AddrRange],
        structural: bool,
        now: Time,
    ) -> Vec<Action> {
        self.forget_if_off();
        let lists = Arc::clone(&self.merged);
        let (projection, world) = self.projection_and_world(now);
        let table = match structural {
            true => projection.renew_structure(touched, &world, &lists),
            false => projection.renew(touched, &world, &lists),
        };
        table.into_iter().chain(projection.renew_lists(&lists)).collect()
    }

    /// Follows the state in the kernel, where claims have changed.
    pub(super) fn renew(&mut self, touched: &[AddrRange], now: Time) -> Option<Action> {
        let lists = Arc::clone(&self.merged);
        let (projection, world) = self.projection_and_world(now);
        let is_current = projection.watches(&world) && !projection.lacks_knocks(&world);
        if touched.is_empty() && is_current {
            return None;
        }
        projection.renew(touched, &world, &lists)
    }

    /// The kernel has answered.
    pub(super) fn applied(&mut self, to: To, result: Result<(), String>, now: Time) -> Vec<Action> {
        if !self.projection.is_current(to) {
            return Vec::new();
        }
        if let Some(record) = self.restoring.take() {
            self.carry(Vec::new(), vec![record]);
        }
        let mut actions = self.answered(to, result, now);
        actions.extend(self.begin_cut());
        actions.extend(self.proceed(now));
        actions
    }

    fn answered(&mut self, to: To, result: Result<(), String>, now: Time) -> Vec<Action> {
        match result {
            Ok(()) => {
                self.projection.settle(to);
                let mut actions = Vec::new();
                if self.projection.accept() {
                    actions.extend(self.put_out_again(now));
                }
                actions.extend(self.finish_ready(now));
                actions
            }
            Err(error) => self.refused_by_kernel(error, now),
        }
    }

    /// The kernel has answered the exchange of lists.
    pub(super) fn lists_exchanged(
        &mut self,
        to: To,
        result: Result<(), String>,
        now: Time,
    ) -> Vec<Action> {
        if !self.projection.is_current(to) {
            return Vec::new();
        }
        match result {
            Ok(()) => {
                self.projection.settle_lists(to);
                self.restored += std::mem::take(&mut self.restored_but_lists);
                self.finish_ready(now)
            }
            Err(error) => self.refused_by_kernel(error, now),
        }
    }

    pub(super) fn refused_by_kernel(&mut self, error: String, now: Time) -> Vec<Action> {
        self.projection.refuse(&error, now);
        let finished = self.finish_refused(&error, now);
        let told = Action::Tell(Told::Trouble(Trouble::KernelRefused { error }));
        std::iter::once(told).chain(finished).collect()
    }

    /// Another program has changed the table.
    pub(super) fn tampered(&mut self, by: String, found: String, now: Time) -> Vec<Action> {
        self.restored_but_lists += 1;
        let who = format!("by {by}");
        let record = Occurrence::new("restore", ruleset::TABLE, &found, &who).by(&ourselves());
        self.restored_last = Some(by.clone());
        // Written down when the table is restored, so that the log never says so before.
        let before = self.restoring.replace(record);
        self.carry(Vec::new(), before.into_iter().collect());
        let mut actions = vec![self.load_whole(now)];
        // Strangers may have come in meanwhile.
        actions.extend(self.close_again(now));
        actions.extend(self.put_out_strangers());
        actions.push(Action::Tell(Told::Trouble(Trouble::Tampered { by, found })));
        actions.extend(self.proceed(now));
        actions
    }

    /// What follows when the table stands again after the kernel had not taken it. Another program
    /// may have removed it: strangers may have come in meanwhile.
    fn put_out_again(&mut self, now: Time) -> Vec<Action> {
        if !self.state.posture().stands() {
            return Vec::new();
        }
        let mut actions = self.close_again(now);
        actions.extend(self.put_out_strangers());
        actions
    }

    /// Ends what strangers began.
    pub(super) fn put_out_strangers(&mut self) -> Vec<Action> {
        self.cut(vec![Flows::BegunByPeers], Vec::new())
    }

    /// Closes once more what was closed lately, when the table is whole again: flows of removed
    /// addresses end, and what this host sent to closed addresses before they were closed again has
    /// made no peer.
    pub(super) fn close_again(&mut self, now: Time) -> Vec<Action> {
        if !self.state.posture().stands() {
            return Vec::new();
        }
        let (mut denied, mut closed) = (Vec::new(), Vec::new());
        for family in [Family::V4, Family::V6] {
            self.state.claims(AddrRange::all(family), now, &mut |Claim { over, says, .. }| {
                if matches!(says, Says::Deny(_)) {
                    denied.push(over);
                }
                if matches!(says, Says::Deny(_) | Says::Block) {
                    closed.push(over);
                }
            });
        }
        let unlearn = (!closed.is_empty()).then_some(Action::Unlearn(Unlearn::Within(closed)));
        let cut = (!denied.is_empty()).then_some(Flows::Of(denied));
        let cut = self.cut(cut.into_iter().collect(), Vec::new());
        unlearn.into_iter().chain(cut).collect()
    }
}
