//! When `--keep` asks the server again, and when it sends another packet.

use std::net::IpAddr;
use std::time::Duration;

use nightlatch_parse::spa::Service;

use super::logic::{State, Tried};

/// How often the addresses of this computer are looked at.
pub(super) const TICK: Duration = Duration::from_secs(2);
/// How often names are looked up again.
pub(super) const LOOK_UP: Duration = Duration::from_secs(300);
/// How often something that answers is asked. The shortest idle limit of a lease is a minute, and each
/// accepted packet renews it.
const PROVE: Duration = Duration::from_secs(30);
/// How often a packet is sent where something answers, and where nothing can be asked.
const REGULAR: Duration = Duration::from_secs(1800);
const UNPROVED: Duration = Duration::from_secs(300);
/// The shortest and the longest pause between packets that follow from changes and silence.
const MIN_INTERVAL: Duration = Duration::from_secs(10);
const MAX_DURATION: Duration = Duration::from_secs(300);

/// One address of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) server: IpAddr,
    /// From where packets went last.
    pub(super) source: Option<IpAddr>,
    /// What answered last.
    proof: Option<Service>,
    /// When packets were sent last, and when something was asked last.
    sent: Duration,
    asked: Duration,
    /// Whether what answered is silent now.
    is_silent: bool,
    /// Whether this computer was asleep since packets were sent.
    slept: bool,
    /// How often in a row nothing answered.
    failures: u32,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    Ask { source: IpAddr, service: Service },
    Send(Why),
}

/// Why packets are sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// Packets go from this address now.
    Address(IpAddr),
    /// What answered does not any more.
    Silent,
    /// This computer was asleep.
    Slept,
    /// It is time.
    Regular,
}

impl Kept {
    /// What was tried at `now`, which counts from the start.
    pub(super) fn new(tried: &Tried, now: Duration) -> Option<Kept> {
        let server = tried.server?;
        let (is_silent, slept) = (false, false);
        let (source, proof, failures) = (None, None, 0);
        let mut kept =
            Kept { server, source, proof, sent: now, asked: now, is_silent, slept, failures };
        kept.tried(tried, now);
        Some(kept)
    }

    /// It was tried again.
    pub(super) fn tried(&mut self, tried: &Tried, now: Duration) {
        (self.sent, self.asked, self.slept) = (now, now, false);
        self.source = tried.source.or(self.source);
        if matches!(tried.state, State::Open | State::WasOpen) {
            let proved = tried.answers.first().map(|answer| answer.service);
            // What answered before the packet answers now.
            self.proof = proved.or(tried.answered_before.first().copied()).or(self.proof);
            (self.is_silent, self.failures) = (false, 0);
        } else {
            // What this computer could not send is tried again as well.
            self.is_silent = self.proof.is_some() || tried.state == State::NotSent;
            self.failures = self.failures.saturating_add(1);
        }
    }

    /// This computer was asleep.
    pub(super) fn woke(&mut self) {
        self.slept = true;
    }

    /// Whether it answered when it was asked.
    pub(super) fn answered(&mut self, answers: bool, now: Duration) {
        self.asked = now;
        self.is_silent = !answers;
    }

    /// What is to be done at `now`, if packets would go from `source`.
    pub(super) fn next(&self, now: Duration, source: Option<IpAddr>) -> Next {
        // Without a route there is nothing to do.
        let Some(source) = source else { return Next::Nothing };
        let since = now.saturating_sub(self.sent);
        let why = self.why(since, source);
        match (why, self.proof) {
            (Some(why), _) if since >= self.shortest(why) => Next::Send(why),
            (None, Some(service)) if now.saturating_sub(self.asked) >= PROVE => {
                Next::Ask { source, service }
            }
            _ => Next::Nothing,
        }
    }

    fn why(&self, since: Duration, source: IpAddr) -> Option<Why> {
        let regular = if self.proof.is_some() { REGULAR } else { UNPROVED };
        match () {
            () if self.source != Some(source) => Some(Why::Address(source)),
            () if self.is_silent => Some(Why::Silent),
            () if self.slept => Some(Why::Slept),
            () if since >= regular => Some(Why::Regular),
            () => None,
        }
    }

    /// A change of address is followed at once, silence more and more slowly.
    fn shortest(&self, why: Why) -> Duration {
        match why {
            Why::Silent => {
                let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
                MIN_INTERVAL.saturating_mul(factor).min(MAX_DURATION)
            }
            _ => MIN_INTERVAL,
        }
    }
}

#[cfg(test)]
mod tests {
    use nightlatch_parse::spa::Protocol;

    use super::super::logic::{Answer, Family, How};
    use super::*;

    const HTTPS: Service = Service { protocol: Protocol::Tcp, port: 443 };

    fn tried(source: &str, state: State) -> Tried {
        let mut tried = Tried::new(Family::Ipv4, Some("192.0.2.1".parse().unwrap()), state);
        tried.source = Some(source.parse().unwrap());
        if state == State::Open {
            tried.answers.push(Answer { service: HTTPS, how: How::Accepted });
        }
        tried
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_is_open_is_asked_and_renewed() {
        let source: IpAddr = "198.51.100.2".parse().unwrap();
        let mut kept = Kept::new(&tried("198.51.100.2", State::Open), at(0)).unwrap();
        let ask = Next::Ask { source, service: HTTPS };
        assert_eq!(kept.next(at(29), Some(source)), Next::Nothing);
        assert_eq!(kept.next(at(30), Some(source)), ask);
        kept.answered(true, at(31));
        assert_eq!(kept.next(at(60), Some(source)), Next::Nothing);
        assert_eq!(kept.next(at(61), Some(source)), ask);
        assert_eq!(kept.next(at(61), None), Next::Nothing);
        assert_eq!(kept.next(at(1800), Some(source)), Next::Send(Why::Regular));
        kept.woke();
        assert_eq!(kept.next(at(61), Some(source)), Next::Send(Why::Slept));
        kept.answered(false, at(62));
        assert_eq!(kept.next(at(62), Some(source)), Next::Send(Why::Silent));
    }

    #[test]
    fn another_address_is_followed_but_not_too_often() {
        let mut kept = Kept::new(&tried("198.51.100.2", State::Open), at(0)).unwrap();
        let other: IpAddr = "198.51.100.3".parse().unwrap();
        assert_eq!(kept.next(at(9), Some(other)), Next::Nothing);
        assert_eq!(kept.next(at(10), Some(other)), Next::Send(Why::Address(other)));
        kept.tried(&tried("198.51.100.3", State::Open), at(12));
        assert_eq!(kept.next(at(22), Some(other)), Next::Nothing);
        // The one before, again.
        let first = "198.51.100.2".parse().unwrap();
        assert_eq!(kept.next(at(22), Some(first)), Next::Send(Why::Address(first)));
    }

    #[test]
    fn a_family_that_had_no_route_gets_one() {
        let mut none = tried("2001:db8::2", State::NoRoute);
        none.source = None;
        let kept = Kept::new(&none, at(0)).unwrap();
        assert_eq!(kept.next(at(1000), None), Next::Nothing);
        let source = "2001:db8::2".parse().unwrap();
        assert_eq!(kept.next(at(1000), Some(source)), Next::Send(Why::Address(source)));
    }

    #[test]
    fn a_server_that_stays_silent_gets_fewer_and_fewer_packets() {
        let source: IpAddr = "198.51.100.2".parse().unwrap();
        let mut kept = Kept::new(&tried("198.51.100.2", State::Open), at(0)).unwrap();
        kept.answered(false, at(30));
        assert_eq!(kept.next(at(30), Some(source)), Next::Send(Why::Silent));
        kept.tried(&tried("198.51.100.2", State::Unverified), at(40));
        let mut sent = Vec::new();
        for second in 41..1000 {
            if kept.next(at(second), Some(source)) != Next::Nothing {
                kept.tried(&tried("198.51.100.2", State::Unverified), at(second));
                sent.push(second);
            }
        }
        assert_eq!(sent, [60, 100, 180, 340, 640, 940]);
        // It answers again.
        kept.tried(&tried("198.51.100.2", State::WasOpen), at(1240));
        let ask = Next::Ask { source, service: HTTPS };
        assert_eq!(kept.next(at(1500), Some(source)), ask);
    }

    #[test]
    fn what_could_not_be_sent_is_tried_again() {
        let source: IpAddr = "198.51.100.2".parse().unwrap();
        let kept = Kept::new(&tried("198.51.100.2", State::NotSent), at(0)).unwrap();
        assert_eq!(kept.next(at(19), Some(source)), Next::Nothing);
        assert_eq!(kept.next(at(20), Some(source)), Next::Send(Why::Silent));
    }

    #[test]
    fn where_nothing_can_be_asked_packets_are_sent_from_time_to_time() {
        let source: IpAddr = "198.51.100.2".parse().unwrap();
        let kept = Kept::new(&tried("198.51.100.2", State::Unverified), at(0)).unwrap();
        assert_eq!(kept.next(at(299), Some(source)), Next::Nothing);
        assert_eq!(kept.next(at(300), Some(source)), Next::Send(Why::Regular));
    }
}
