//! Texts of attackers in all that is said of attacks: printable, short, and in quotes of their own.

use nightlatch_core::api::Caller;
use nightlatch_core::attack::{Attack, Outcome, Service};
use nightlatch_core::audit::Record;
use nightlatch_core::detect::{Finding, Judge, Settings, Sighting, Trust};
use nightlatch_core::features::bans::{self, Ban, BanCause, Spared};
use nightlatch_core::features::{Notice, Reply, watch};
use nightlatch_core::time::Time;
use nightlatch_parse::log::{Attempt, Doubt, Proof};
use proptest::prelude::*;

use super::about::About;
use crate::shell::screen::check_quotes;

/// In each text of an attacker, and nowhere else.
const MARK: &str = "MARK";
const START: i64 = 1_795_000_000_000;
const SOURCE: &str = "198.51.100.66";

/// Texts that would leave their field, rewrite the screen, or fill it.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(MARK.as_bytes().to_vec()),
        Just(b"\"".to_vec()),
        Just(b"\", \"200\" is banned: \"".to_vec()),
        Just(b"\x1b[2J\x07".to_vec()),
        Just("\u{202e}\u{200b}\u{feff}\u{2028}".as_bytes().to_vec()),
        Just(b"\r\nnotice: ".to_vec()),
        Just(b"\\\0\xff".to_vec()),
        Just(vec![b'x'; 700]),
        proptest::collection::vec(any::<u8>(), 0..20),
    ];
    let parts = proptest::collection::vec(part, 1..8);
    parts.prop_map(|parts| [MARK.as_bytes(), &parts.concat()].concat())
}

/// A judge, and what it found out.
struct Bench {
    judge: Judge,
    found: Vec<Finding>,
    sessions: u64,
}

impl Bench {
    fn see(&mut self, seconds: i64, outcome: Outcome, account: &[u8], agent: &[u8], line: &[u8]) {
        self.sessions += 1;
        let session = self.sessions.to_string();
        let attempt = Attempt {
            stamp: None,
            source: SOURCE.parse().unwrap(),
            port: None,
            service: Service::Sip,
            outcome,
            proof: Proof::Answered,
            account: Some(account),
            session: Some(session.as_bytes()),
            agent: Some(agent),
            dialled: None,
        };
        let at = Time::from_millis(START + seconds * 1000);
        let trust = Trust::Full;
        let sighting =
            Sighting { at, attempt, trust, filter: None, log: "/var/log/asterisk/security", line };
        self.judge.see(&sighting, &mut self.found);
    }
}

/// All that follows from hostile texts.
fn findings(texts: &[Vec<u8>; 3]) -> Vec<Finding> {
    let [account, agent, line] = texts;
    let bench = || Bench {
        judge: Judge::new(Settings::default(), [7; 16]),
        found: Vec::new(),
        sessions: 0,
    };
    let other = |number: i64| [account.as_slice(), number.to_string().as_bytes()].concat();
    // Somebody guesses, and finds a password.
    let mut guesser = bench();
    for second in 0..9 {
        let name = [second.to_string().as_bytes(), account].concat();
        guesser.see(second, Outcome::WrongPassword, &name, agent, line);
    }
    guesser.see(10, Outcome::Succeeded, account, agent, line);
    // A phone has a wrong password, and recovers.
    let mut phone = bench();
    phone.see(-86_400, Outcome::Succeeded, account, agent, line);
    (0..30).for_each(|n| phone.see(n * 60, Outcome::WrongPassword, account, agent, line));
    phone.see(2000, Outcome::Succeeded, account, agent, line);
    // Somebody guesses where others log in.
    let mut inside = bench();
    inside.see(-86_400, Outcome::Succeeded, b"204", b"phone", line);
    inside.see(-7_200, Outcome::Succeeded, b"204", b"phone", line);
    (0..30).for_each(|n| inside.see(n, Outcome::UnknownAccount, &other(n), agent, line));
    // A line that names two sources.
    let sources = vec![SOURCE.parse().unwrap(), "192.0.2.1".parse().unwrap()];
    let doubt = Doubt { stamp: None, service: Service::Sip, sources, text: line };
    let Bench { judge, found, .. } = &mut inside;
    judge.doubt(Time::from_millis(START), "/var/log/asterisk/messages", &doubt, found);
    let all = [guesser, phone, inside].into_iter().flat_map(|mut bench| {
        bench.judge.pass(Time::from_millis(START + 86_400_000), &mut bench.found);
        bench.found
    });
    all.collect()
}

/// What is said of an attack, wherever it is said.
fn said_of(attack: &Attack) -> Vec<String> {
    let evidence = Box::new(attack.evidence.clone());
    let now = attack.evidence.last;
    let until = now.after(std::time::Duration::from_secs(900));
    let cause = BanCause::Attack { weight: attack.weight, evidence: evidence.clone() };
    let range = attack.source;
    let ban = Ban {
        range,
        since: now,
        until,
        times: 1,
        remembered: until,
        cause,
        except: Vec::new(),
        limit: None,
    };
    let because = Spared::Registered;
    let spared = bans::Notice::Spared { range, because, limited_until: Some(until), evidence };
    let banned = bans::Notice::Banned(Box::new(ban.clone()));
    let mut about = About::new(range.first_address(), now);
    super::about(
        &Reply::Bans(bans::Reply::About { bans: vec![ban.clone()], spared: None }),
        &mut about,
    );
    let record = Record {
        caller: Caller::default(),
        action: "ban".to_owned(),
        subject: range.to_string(),
        before: serde_json::Value::Null,
        after: serde_json::to_value(&ban).unwrap(),
    };
    let audited = super::audited(&record, &record.after).unwrap();
    let mut said = vec![audited];
    said.extend([banned, spared].map(|notice| super::notice(&Notice::Bans(notice))));
    said.extend(about.lines.into_iter().map(|(_, line)| line));
    said.extend(about.claims.into_iter().map(|(_, words)| words));
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn texts_of_attackers_stay_in_their_quotes(texts in [hostile(), hostile(), hostile()]) {
        let (mut notices, mut attacks) = (0, 0);
        for finding in findings(&texts) {
            let said = match &finding {
                Finding::Attack(attack) => {
                    attacks += 1;
                    said_of(attack)
                }
                Finding::Notice(notice) => {
                    notices += 1;
                    vec![super::notice(&Notice::Watch(watch::Notice::Judged(notice.clone())))]
                }
            };
            said.iter().for_each(|line| check_quotes(line, MARK));
        }
        prop_assert!(attacks >= 2 && notices >= 6, "{attacks} attacks, {notices} notices");
    }
}
