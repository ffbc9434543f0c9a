//! When bans end, and how many have not ended yet.

use std::collections::BTreeSet;

use super::attacked::first_range;
use crate::AddrRange;
use crate::effort;
use crate::time::Time;

/// The ends of bans.
///
/// Whether there is room for one more ban is asked for each source that attacks, so nothing is counted anew for
/// that: how many had ended at a moment is kept, and only those are looked at that end between it and now.
#[derive(Clone, Debug, Default)]
pub(super) struct Ends {
    all: BTreeSet<(Time, AddrRange)>,
    /// How many have ended at the moment.
    ended: usize,
    moment: Time,
}

impl Ends {
    /// Adds an end.
    pub(super) fn insert(&mut self, until: Time, range: AddrRange) {
        if self.all.insert((until, range)) && until <= self.moment {
            self.ended += 1;
        }
    }

    /// Removes an end.
    pub(super) fn remove(&mut self, until: Time, range: AddrRange) {
        if self.all.remove(&(until, range)) && until <= self.moment {
            self.ended = self.ended.saturating_sub(1);
        }
    }

    /// How many have not ended at `now`.
    ///
    /// Looks at those that end between the moment of [`Ends::look_from`] and `now`.
    pub(super) fn active(&self, now: Time) -> usize {
        let counted = self.all.len().saturating_sub(self.ended);
        match now >= self.moment {
            true => counted.saturating_sub(self.between(self.moment, now)),
            // The clock was set back.
            false => counted.saturating_add(self.between(now, self.moment)),
        }
    }

    /// From now on counts from this moment, which should be about the present.
    pub(super) fn look_from(&mut self, moment: Time) {
        self.ended = self.all.len().saturating_sub(self.active(moment));
        self.moment = moment;
    }

    /// How many end after the first moment, and not after the second. Nothing else walks along the ends.
    fn between(&self, first: Time, last: Time) -> usize {
        let after = |at: Time| (Time::from_millis(at.millis().saturating_add(1)), first_range());
        self.all.range(after(first)..after(last)).inspect(|_| effort::step()).count()
    }
}

impl FromIterator<(Time, AddrRange)> for Ends {
    fn from_iter<I: IntoIterator<Item = (Time, AddrRange)>>(ends: I) -> Ends {
        Ends { all: ends.into_iter().collect(), ..Ends::default() }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Insert(i64, u8),
        Remove(i64, u8),
        LookFrom(i64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let one = prop_oneof![
            (0i64..20, 0u8..4).prop_map(|(at, number)| Step::Insert(at, number)),
            (0i64..20, 0u8..4).prop_map(|(at, number)| Step::Remove(at, number)),
            (0i64..20).prop_map(Step::LookFrom),
        ];
        proptest::collection::vec(one, 0..60)
    }

    fn end(at: i64, number: u8) -> (Time, AddrRange) {
        let address = IpAddr::from(Ipv4Addr::new(192, 0, 2, number));
        (Time::from_millis(at), AddrRange::from(address))
    }

    proptest! {
        #[test]
        fn it_counts_as_a_look_at_all_does(steps in steps(), now in -2i64..22) {
            let (mut ends, mut all) = (Ends::default(), BTreeSet::new());
            for step in steps {
                match step {
                    Step::Insert(at, number) => {
                        let (until, range) = end(at, number);
                        ends.insert(until, range);
                        all.insert((until, range));
                    }
                    Step::Remove(at, number) => {
                        let (until, range) = end(at, number);
                        ends.remove(until, range);
                        all.remove(&(until, range));
                    }
                    Step::LookFrom(at) => ends.look_from(Time::from_millis(at)),
                }
            }
            let now = Time::from_millis(now);
            let active = all.iter().filter(|(until, _)| *until > now).count();
            prop_assert_eq!(ends.active(now), active);
        }
    }
}
