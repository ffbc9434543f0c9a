//! When addresses are denied, and when no longer.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Deed, Denial, DenialCause, Denials, Notice, Reply};
use crate::AddrRange;
use crate::action::Unlearn;
use crate::address::merge;
use crate::cut;
use crate::features::{Plan, View};
use crate::pbx::{PbxAnswer, PbxPeers};
use crate::policy::DenialScope;
use crate::signalling::LearnedBy;
use crate::time::Time;

/// With so many denials, host names add no further ones.
const MAX_OF_NAMES: usize = 4096;

impl Denials {
    /// What is allowed is no longer denied.
    pub(super) fn ended_by(&self, allowed: &[AddrRange]) -> Plan<Denials> {
        let mut plan = Plan::default();
        let open = merge(allowed.to_vec());
        let over = open.iter().flat_map(|range| self.all.over(*range));
        for (range, _) in over.filter(|(range, _)| cut::is_in(&open, range)) {
            plan.remove(range, None);
        }
        plan
    }

    /// Denies services and media to ranges of an account that was removed or has expired. Trunks at
    /// which this host is registered are not denied.
    pub(super) fn of_withdrawn(name: &str, ranges: &[AddrRange], view: &View<'_>) -> Plan<Denials> {
        let mut plan = Plan::default();
        let registrars: BTreeSet<IpAddr> = view
            .learned()
            .at(view.now())
            .filter(|(peer, _)| {
                matches!(peer.by, LearnedBy::Registered | LearnedBy::RegisteredByTcp)
            })
            .map(|(peer, _)| peer.address)
            .filter(|address| ranges.iter().any(|range| range.contains(*address)))
            .collect();
        let denied: Vec<AddrRange> =
            ranges.iter().flat_map(|range| without(*range, &registrars)).collect();
        for range in &denied {
            let cause = DenialCause::AccountGone { account: name.to_owned() };
            plan.put(*range, Denial::new(*range, cause, view.now()), None);
        }
        plan.effects.unlearn.push(Unlearn::Within(denied));
        plan.said.extend(registrars.into_iter().map(|address| Reply::TrunkStays { address }));
        plan
    }

    /// Denies what a host name no longer has, as a removed account is denied, but does not let whoever
    /// answers for the name deny others what every stranger may do, or fill the memory: beyond
    /// [`MAX_OF_NAMES`], an address at which the PBX has a contact is denied when the PBX is asked next.
    pub(super) fn of_replaced(
        &self,
        name: &str,
        ranges: &[AddrRange],
        view: &View<'_>,
    ) -> Plan<Denials> {
        if view.strangers_may_register(view.posture().mode) {
            return Plan::default();
        }
        let room = MAX_OF_NAMES.saturating_sub(self.all.len());
        let ranges = ranges.get(..room.min(ranges.len())).unwrap_or_default();
        Denials::of_withdrawn(name, ranges, view)
    }

    /// Denies phones that are registered at the PBX without an account: each would become a peer as
    /// soon as the PBX calls it. Its user may have guessed a password, or registered in open mode.
    pub(super) fn of_unlisted(&self, pbx: &PbxPeers, view: &View<'_>) -> Plan<Denials> {
        let mut plan = Plan::default();
        if view.strangers_may_register(view.posture().mode) {
            return plan;
        }
        let mut denied = BTreeSet::new();
        for contact in pbx.contacts.iter().filter(|contact| contact.dynamic) {
            let address = contact.address.to_canonical();
            let named = pbx.named.iter().any(|range| range.contains(address))
                || pbx.registrars.iter().any(|it| it.address.to_canonical() == address)
                || pbx
                    .contacts
                    .iter()
                    .any(|it| !it.dynamic && it.address.to_canonical() == address);
            if named || !self.is_unlisted(address, view) || !denied.insert(address) {
                continue;
            }
            let scope = match contact.heard {
                true => DenialScope::Everything,
                false => DenialScope::ExceptMedia,
            };
            let cause = DenialCause::UnlistedContact { extension: printable(&contact.extension) };
            let range = AddrRange::from(address);
            let denial = Denial { scope, ..Denial::new(range, cause, view.now()) };
            plan.put(range, denial.clone(), Deed::Deny);
            plan.notices.push(Notice::UnlistedContact(denial));
        }
        let ranges: Vec<AddrRange> = denied.into_iter().map(AddrRange::from).collect();
        if !ranges.is_empty() {
            plan.effects.cut_flows_of(&ranges);
            plan.effects.unlearn.push(Unlearn::Within(ranges));
        }
        plan
    }

    /// Whether nothing allows or denies an address yet.
    fn is_unlisted(&self, address: IpAddr, view: &View<'_>) -> bool {
        let own = |(range, _): &(AddrRange, String)| range.contains(address);
        !address.is_loopback()
            && !address.is_unspecified()
            && !view.posture().site.guarded.iter().any(own)
            && !view.learned().is_registrar(address, view.now())
            && !view.is_allowed(address)
            && !self.all.contains_key(&AddrRange::from(address))
    }

    /// Ends denials, or extends them: while the PBX has a contact there, it keeps sending to it.
    pub(super) fn end_or_extend(&self, plan: &mut Plan<Denials>, pbx: &PbxPeers, view: &View<'_>) {
        let now: Time = view.now();
        for denial in self.all.values() {
            let mut contacts = pbx
                .contacts
                .iter()
                .filter(|contact| denial.range.contains(contact.address.to_canonical()));
            let unlisted = matches!(denial.cause, DenialCause::UnlistedContact { .. });
            // A fixed contact was added by an administrator, so it does not extend the denial of an
            // unlisted phone.
            let is_needed = pbx.answer == PbxAnswer::Silent
                || contacts.any(|contact| contact.dynamic || !unlisted);
            let released = unlisted && pbx.answer == PbxAnswer::Answered && !is_needed;
            let over = denial.until <= now;
            if over && is_needed {
                let until = now.after(Denial::PROLONGATION);
                plan.put(denial.range, Denial { until, ..denial.clone() }, None);
            } else if over || released {
                plan.remove(denial.range, Deed::Expire);
            }
        }
    }

    /// Where strangers may register, no phone needs an account.
    pub(super) fn without_unlisted(&self) -> Plan<Denials> {
        let mut plan = Plan::default();
        for denial in self.all.values() {
            if matches!(denial.cause, DenialCause::UnlistedContact { .. }) {
                plan.remove(denial.range, None);
            }
        }
        plan
    }
}

/// The parts of a range that remain without some addresses.
fn without(range: AddrRange, addresses: &BTreeSet<IpAddr>) -> Vec<AddrRange> {
    let mut left = Vec::new();
    let mut first = Some(range.first());
    let taken = addresses.iter().map(|address| AddrRange::from(*address));
    let mut taken: Vec<AddrRange> = taken.filter(|taken| range.covers(taken)).collect();
    taken.sort_unstable_by_key(AddrRange::first);
    for taken in taken {
        let Some(begin) = first else { break };
        if let Some(last) = taken.first().checked_sub(1).filter(|last| begin <= *last) {
            left.extend(AddrRange::new(range.family(), begin, last));
        }
        first = taken.last().checked_add(1).filter(|next| *next <= range.last());
    }
    left.extend(first.and_then(|first| AddrRange::new(range.family(), first, range.last())));
    left
}

/// A name from the PBX without control characters: a phone may have chosen it.
fn printable(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_without_addresses() {
        let check = |range: &str, addresses: &[&str], expected: &[&str]| {
            let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
            let left: Vec<String> = without(range.parse().unwrap(), &addresses)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(left, expected, "{range} {addresses:?}");
        };
        check("203.0.113.0/30", &[], &["203.0.113.0/30"]);
        check("203.0.113.0/30", &["203.0.113.9"], &["203.0.113.0/30"]);
        check("203.0.113.7", &["203.0.113.7"], &[]);
        check("203.0.113.0/30", &["203.0.113.0"], &["203.0.113.1-203.0.113.3"]);
        check("203.0.113.0/30", &["203.0.113.3", "203.0.113.1"], &["203.0.113.0", "203.0.113.2"]);
        check("::/0", &["::1"], &["::", "::2-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]);
        let last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        check(&format!("{last}/128"), &[last], &[]);
    }
}
