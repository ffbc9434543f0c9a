//! What should be: when each address was opened, when its last packet came, whether a call runs.

use super::*;

/// A moment by a clock that nobody sets, in seconds.
pub(super) type Moment = u64;

/// What the model keeps of a user.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) grant: usize,
    pub(super) idle: u64,
    pub(super) hours: bool,
}

/// What the model keeps of a lease.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) idle: u64,
    /// When it was opened last, and what the clock showed then besides.
    pub(super) opened: Moment,
    pub(super) clock: i64,
    /// Until when it must count, unless a packet comes, and what a flush and a reboot leave of that.
    pub(super) must: Moment,
    pub(super) read: Moment,
    pub(super) saved: Moment,
    /// Until when it may count, and what a flush leaves of that.
    pub(super) may: Moment,
    pub(super) read_may: Moment,
    /// Until when it may count at least, because the clock was set back.
    pub(super) floor: Moment,
    /// The same for the absolute limit.
    pub(super) end_must: Moment,
    pub(super) end_may: Moment,
    /// Whether another user has had the same address.
    pub(super) shared: bool,
}

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) people: BTreeMap<usize, Person>,
    pub(super) open: BTreeMap<(usize, usize), Open>,
    /// Until when an address must count as being in a call, and until when it may.
    pub(super) calls: BTreeMap<usize, (Moment, Moment)>,
    /// What has ended, with the word of the audit log.
    pub(super) ended: Vec<String>,
}

impl Model {
    /// Whether an address must count as being in a call, and whether it may.
    pub(super) fn in_call(&self, address: usize, now: Moment) -> (bool, bool) {
        let call = self.calls.get(&address);
        call.map_or((false, false), |(must, may)| (*must > now, *may > now))
    }

    pub(super) fn at(&mut self, address: usize) -> impl Iterator<Item = &mut Open> {
        self.open.iter_mut().filter(move |((_, at), _)| *at == address).map(|(_, open)| open)
    }

    /// Whether an address must reach a service, and whether it may.
    pub(super) fn reaches(
        &self,
        address: usize,
        service: &str,
        now: Moment,
        wall: Time,
    ) -> (bool, bool) {
        let (must_call, may_call) = self.in_call(address, now);
        let here = || self.open.iter().filter(|((_, at), _)| *at == address);
        // The kernel has one element for an address.
        let must = here().any(|(_, open)| open.must > now)
            && (must_call || here().any(|(_, open)| open.end_must > now));
        let may = here().any(|(_, open)| open.may > now)
            && (may_call || here().any(|(_, open)| open.end_may > now));
        let granted = |in_call: bool| {
            here().any(|((user, _), _)| {
                let person = &self.people[user];
                let within = !person.hours || hours().contain(wall) || in_call && service == "sip";
                within && GRANTS[person.grant].split(',').any(|it| it == service)
            })
        };
        (must && granted(must_call), may && granted(may_call))
    }

    pub(super) fn opened(
        &mut self,
        user: usize,
        address: usize,
        lasts: Option<u64>,
        (now, clock): (Moment, i64),
    ) {
        let mine = self.open.iter().filter(|((of, at), _)| *of == user && *at != address);
        let mut mine: Vec<_> = mine.map(|(key, open)| (open.opened, *key)).collect();
        mine.sort_unstable();
        let surplus = (mine.len() + 1).saturating_sub(4);
        for (_, key) in mine.into_iter().take(surplus) {
            self.end(key, "replace", now);
        }
        let idle = self.people[&user].idle.min(lasts.unwrap_or(EVER));
        let (must, end) = (now + idle, now + lasts.unwrap_or(WEEK));
        // A flush before the next reading puts back what was taught.
        let open = Open {
            idle,
            opened: now,
            clock,
            must,
            read: must,
            saved: 0,
            may: must,
            read_may: must,
            floor: 0,
            end_must: end,
            end_may: end,
            shared: false,
        };
        self.open.insert((user, address), open);
        let shared = self.at(address).count() > 1;
        for open in self.at(address) {
            open.shared |= shared;
            // The one limit of several leases for an address is by the clock.
            if shared && open.clock != clock {
                open.end_must = 0;
            }
        }
        self.limit(address, now);
    }

    /// What an address had for longer than its leases allow now is over.
    pub(super) fn limit(&mut self, address: usize, now: Moment) {
        let longest = self.at(address).map(|open| open.idle).max().unwrap_or(0);
        self.at(address).for_each(|open| open.may = open.may.max(now + longest));
    }

    pub(super) fn end(&mut self, key: (usize, usize), word: &str, now: Moment) {
        if self.open.remove(&key).is_some() {
            self.ended.push(format!("{word} {} {}", USERS[key.0], address(key.1)));
            self.limit(key.1, now);
        }
    }

    pub(super) fn done(&mut self, ask: &Ask, now: Moment, clock: i64) {
        match *ask {
            Ask::Add { user, grant, idle, hours } => {
                let before = self.people.insert(user, Person { grant, idle: IDLES[idle], hours });
                assert!(before.is_none());
            }
            // What changes nothing is answered at once, also where the user is not written down yet.
            Ask::Set { user, grant } => {
                self.people.entry(user).and_modify(|person| person.grant = grant);
            }
            Ask::Within { user, hours } => {
                self.people.entry(user).and_modify(|person| person.hours = hours);
            }
            Ask::Revoke(user) => {
                let of: Vec<_> = self.open.keys().filter(|(of, _)| *of == user).copied().collect();
                of.into_iter().for_each(|key| self.end(key, "revoke", now));
                assert!(self.people.remove(&user).is_some());
            }
            Ask::Open { user, address, lasts } => self.opened(user, address, lasts, (now, clock)),
            Ask::Close(address) => {
                let at: Vec<_> =
                    self.open.keys().filter(|(_, at)| *at == address).copied().collect();
                assert!(!at.is_empty());
                at.into_iter().for_each(|key| self.end(key, "close", now));
            }
        }
    }

    /// An accepted packet.
    pub(super) fn sent(&mut self, address: usize, packet: Packet, now: Moment) {
        // The kernel renews by one limit.
        let limit = self.at(address).map(|open| open.idle).max().unwrap_or(0);
        self.at(address).for_each(|open| {
            open.must = open.must.max(now + open.idle);
            open.may = (now + limit).max(open.floor);
        });
        if packet == Packet::Media {
            self.calls.insert(address, (now + 60, now + 60));
        }
    }
}
