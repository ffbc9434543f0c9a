//! The live view: one line for each attempt, with how fast its source is and who it is.

use std::collections::HashMap;
use std::net::IpAddr;

use nightlatch_core::time::Time;

use super::seen::Seen;
use super::wording;
use crate::features::places::Place;
use crate::shell::screen;

/// What stands above the columns.
pub(super) const HEADER: &str = "TIME (UTC)  SOURCE                PER MINUTE  SERVICE  RESULT                COUNTRY  NETWORK                 ACCOUNT, WHO";

/// The most sources that are remembered; then all are forgotten.
const MAX_SOURCES: usize = 10_000;
/// How many sources a second are looked up at most: it must not hold up the view.
const MAX_LOOKED_UP: u32 = 5;

/// What is remembered of what was shown.
#[derive(Default)]
pub(super) struct View {
    sources: HashMap<IpAddr, Source>,
    /// The second of the last look-up, and how many there were in it.
    looked_up: (i64, u32),
}

#[derive(Default)]
struct Source {
    who: Option<String>,
    /// The minute of the last attempt, how many there were in it, and in the one before.
    minute: i64,
    count: u32,
    before: u32,
}

impl View {
    /// Who the source is; looked up once, and not too often.
    pub(super) fn who(&mut self, seen: &Seen, look_up: impl FnOnce(IpAddr) -> String) -> String {
        if self.sources.len() >= MAX_SOURCES {
            self.sources.clear();
        }
        let second = seen.at.millis() / 1000;
        if self.looked_up.0 != second {
            self.looked_up = (second, 0);
        }
        let source = self.sources.entry(seen.source).or_default();
        if source.who.is_none() && self.looked_up.1 < MAX_LOOKED_UP {
            self.looked_up.1 += 1;
            source.who = Some(look_up(seen.source));
        }
        source.who.clone().unwrap_or_default()
    }

    /// How many attempts came from the source within the last minute or the one before.
    fn rate(&mut self, seen: &Seen) -> u32 {
        let source = self.sources.entry(seen.source).or_default();
        let minute = seen.at.millis() / 60_000;
        if source.minute != minute {
            let is_next = source.minute + 1 == minute;
            source.before = if is_next { source.count } else { 0 };
            source.minute = minute;
            source.count = 0;
        }
        source.count = source.count.saturating_add(1);
        source.count.max(source.before)
    }

    /// The lines for an attempt.
    pub(super) fn lines(&mut self, seen: &Seen, place: &Place, who: &str) -> Vec<String> {
        let mut lines = Vec::new();
        if seen.missed > 0 {
            lines.push(format!("            and {} more, too many to show", seen.missed));
        }
        let account = seen.account.as_ref().map(|account| screen::quoted(account));
        let agent = seen.agent.as_ref().map(|agent| format!("by {}", screen::quoted(agent)));
        let dialled = seen.dialled.as_ref();
        let dialled = dialled.map(|dialled| format!("to {}", screen::quoted(dialled)));
        let who = Some(who.to_owned()).filter(|who| !who.is_empty());
        let parts: Vec<String> = [account, dialled, agent, who].into_iter().flatten().collect();
        let rate = self.rate(seen);
        let line = format!(
            "{}    {:<20}  {rate:>10}  {:<7}  {:<20}  {:<7}  {:<22}  {}",
            clock(seen.at),
            seen.source.to_string(),
            wording::service(seen.service),
            wording::outcome(seen.outcome),
            place.country(),
            place.network(),
            parts.join(", "),
        );
        lines.push(line.trim_end().to_owned());
        lines
    }
}

/// `08:36:32`.
fn clock(at: Time) -> String {
    at.to_string().get(11..19).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use nightlatch_core::attack::{Outcome, Service};
    use nightlatch_core::detect::{Sighting, Trust};
    use nightlatch_parse::log::{Attempt, Proof};

    use super::*;

    fn seen(seconds: i64) -> Seen {
        Seen {
            at: Time::from_millis(1_796_069_800_000 + seconds * 1000),
            source: "192.0.2.1".parse().unwrap(),
            port: Some(5060),
            service: Service::Sip,
            outcome: Outcome::WrongPassword,
            account: Some("100".to_owned()),
            agent: None,
            dialled: None,
            log: "/var/log/asterisk/security".to_owned(),
            trust: Trust::Full,
            missed: 0,
        }
    }

    #[test]
    fn a_line_for_each_attempt() {
        let mut view = View::default();
        let who = view.who(&seen(0), |_| "office".to_owned());
        let place = Place::default();
        let lines = view.lines(&seen(0), &place, &who);
        let expected = "20:16:40    192.0.2.1                      1  sip      wrong password        unknown  unknown                 \"100\", office";
        assert_eq!(lines, [expected]);
        let at = HEADER.find("COUNTRY");
        assert_eq!((at, HEADER.find("NETWORK")), (expected.find("unknown"), at.map(|at| at + 9)));
        assert_eq!(HEADER.find("ACCOUNT"), expected.find('"'));
        // Asked once.
        assert_eq!(view.who(&seen(1), |_| panic!("asked again")), "office");
        let lines = view.lines(&Seen { missed: 7, ..seen(1) }, &place, "");
        assert!(lines[0].contains("and 7 more") && lines[1].contains("  2  sip"), "{lines:?}");
    }

    #[test]
    fn texts_of_attackers_stay_between_their_quotes() {
        let text = |text: &str| Some(text.to_owned());
        let seen = Seen {
            account: text("1\", Germany"),
            agent: text("a\""),
            dialled: text("\""),
            ..seen(0)
        };
        let lines = View::default().lines(&seen, &Place::default(), "");
        assert!(lines[0].ends_with("\"1', Germany\", to \"'\", by \"a'\""), "{lines:?}");
    }

    #[test]
    fn a_flood_of_sources_does_not_ask_for_each() {
        let mut view = View::default();
        let mut asked = 0;
        for number in 0..100 {
            let source = IpAddr::from([198, 51, 100, number]);
            let _ = view.who(&Seen { source, ..seen(0) }, |_| {
                asked += 1;
                String::new()
            });
        }
        assert_eq!(asked, MAX_LOOKED_UP);
    }

    proptest::proptest! {
        #[test]
        fn texts_of_attackers_stay_in_their_quotes(
            texts in proptest::collection::vec(proptest::collection::vec(proptest::prelude::any::<u8>(), 0..90), 3),
        ) {
            let hostile: Vec<Vec<u8>> =
                texts.iter().map(|text| [b"MARK\"\x1b[2J\r\n".as_slice(), text].concat()).collect();
            let attempt = Attempt {
                stamp: None,
                source: "192.0.2.1".parse().unwrap(),
                port: None,
                service: Service::Sip,
                outcome: Outcome::WrongPassword,
                proof: Proof::Claimed,
                account: Some(&hostile[0]),
                session: None,
                agent: Some(&hostile[1]),
                dialled: Some(&hostile[2]),
            };
            let (at, trust) = (Time::default(), Trust::Low);
            let sighting = Sighting { at, attempt, trust, filter: None, log: "/var/log/a", line: b"" };
            let seen = Seen::of(&sighting, 0);
            // In JSON each text is a field of its own, with the same text.
            for text in [&seen.account, &seen.agent, &seen.dialled].into_iter().flatten() {
                proptest::prop_assert!(text.chars().all(|c| matches!(c, ' '..='~') || c.is_alphanumeric()));
                proptest::prop_assert!(text.chars().count() <= 67);
            }
            let lines = View::default().lines(&seen, &Place::default(), "");
            lines.iter().for_each(|line| screen::check_quotes(line, "MARK"));
        }
    }
}
