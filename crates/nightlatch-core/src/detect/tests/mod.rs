//! What the tests have in common: a bench that shows lines to a judge.

#![allow(
    clippy::cast_sign_loss,
    clippy::cast_possible_truncation,
    reason = "the numbers of tests are small"
)]

use std::net::IpAddr;

use nightlatch_parse::log::{Attempt, Outcome, Proof, Service};

use super::*;
use crate::attack::Evidence;

mod asked;
mod filters;
mod memory;
mod model;
mod networks;
mod phones;
mod rows;
mod situations;
mod slow;
mod successes;

/// When the tests begin.
const START: i64 = 1_795_000_000_000;
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// A line, as tests write it.
#[derive(Clone, Debug)]
struct Shown {
    /// Seconds after the start.
    at: i64,
    source: IpAddr,
    service: Service,
    outcome: Outcome,
    proof: Proof,
    account: Option<&'static str>,
    session: Option<String>,
    agent: Option<&'static str>,
    trust: Trust,
    log: &'static str,
    text: String,
    filter: Option<Thresholds>,
}

/// An attempt with a wrong password at SIP, in a session of its own.
fn wrong(source: &str, at: i64, account: &'static str) -> Shown {
    Shown {
        at,
        source: source.parse().unwrap(),
        service: Service::Sip,
        outcome: Outcome::WrongPassword,
        proof: Proof::Answered,
        account: Some(account),
        session: None,
        agent: None,
        trust: Trust::Full,
        log: "/var/log/asterisk/security",
        text: String::new(),
        filter: None,
    }
}

/// Somebody logs in.
fn success(source: &str, at: i64, account: &'static str) -> Shown {
    Shown { outcome: Outcome::Succeeded, ..wrong(source, at, account) }
}

/// An attempt at an account that does not exist.
fn unknown(source: &str, at: i64, account: &'static str) -> Shown {
    Shown { outcome: Outcome::UnknownAccount, ..wrong(source, at, account) }
}

impl Shown {
    fn with(mut self, change: impl FnOnce(&mut Shown)) -> Shown {
        change(&mut self);
        self
    }

    fn ssh(self) -> Shown {
        self.with(|shown| shown.service = Service::Ssh)
    }

    fn claimed(self) -> Shown {
        self.with(|shown| shown.proof = Proof::Claimed)
    }

    /// As a filter reads it, in a log of its own.
    fn filtered(self, log: &'static str, filter: Thresholds) -> Shown {
        self.claimed().with(|shown| (shown.log, shown.filter) = (log, Some(filter)))
    }

    fn low(self) -> Shown {
        self.with(|shown| shown.trust = Trust::Low)
    }

    fn session(self, session: &str) -> Shown {
        self.with(|shown| shown.session = Some(session.to_owned()))
    }
}

/// A judge, and what it found out.
struct Bench {
    judge: Judge,
    lines: u64,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Settings::default())
    }

    fn with(settings: Settings) -> Bench {
        Bench { judge: Judge::new(settings, [7; 16]), lines: 0 }
    }

    /// What a line leads to.
    fn see(&mut self, shown: &Shown) -> Vec<Finding> {
        self.lines += 1;
        let own = format!("session-{}", self.lines);
        let session = shown.session.as_deref().unwrap_or(&own);
        let mut found = Vec::new();
        let attempt = Attempt {
            stamp: None,
            source: shown.source,
            port: None,
            service: shown.service,
            outcome: shown.outcome,
            proof: shown.proof,
            account: shown.account.map(str::as_bytes),
            session: (!session.is_empty()).then_some(session.as_bytes()),
            agent: shown.agent.map(str::as_bytes),
            dialled: None,
        };
        let line = if shown.text.is_empty() { own.as_str() } else { shown.text.as_str() };
        let sighting = Sighting {
            at: second(shown.at),
            attempt,
            trust: shown.trust,
            log: shown.log,
            line: line.as_bytes(),
            filter: shown.filter,
        };
        self.judge.see(&sighting, &mut found);
        // Whatever it was, the numbers of the evidence show why.
        for attack in attacks(&found) {
            let Evidence { attempts, score, threshold: (most, _), .. } = attack.evidence;
            assert!(attempts > 0 && score >= most, "{attack:#?}");
        }
        found
    }

    fn all(&mut self, lines: impl IntoIterator<Item = Shown>) -> Vec<Finding> {
        lines.into_iter().flat_map(|shown| self.see(&shown)).collect()
    }

    fn pass(&mut self, at: i64) -> Vec<Finding> {
        let mut found = Vec::new();
        self.judge.pass(second(at), &mut found);
        found
    }

    /// The same judge after a restart.
    fn restart(
        &mut self,
        stored: &mut std::collections::BTreeMap<Vec<u8>, Vec<u8>>,
        settings: &Settings,
    ) {
        store(self.judge.save(), stored);
        self.judge = Judge::new(settings.clone(), [9; 16]);
        let rows = stored.iter().map(|(key, body)| (key.as_slice(), body.as_slice()));
        self.judge.load(rows).unwrap();
    }
}

/// Does what the database does.
fn store(saved: Saved, stored: &mut std::collections::BTreeMap<Vec<u8>, Vec<u8>>) {
    if saved.whole {
        stored.clear();
    }
    for key in saved.removed {
        assert!(stored.remove(&key).is_some(), "only what is stored is removed");
    }
    stored.extend(saved.rows);
}

fn second(at: i64) -> Time {
    Time::from_millis(START + at * 1000)
}

fn attacks(found: &[Finding]) -> Vec<&Attack> {
    found
        .iter()
        .filter_map(|finding| match finding {
            Finding::Attack(attack) => Some(attack),
            Finding::Notice(_) => None,
        })
        .collect()
}

fn notices(found: &[Finding]) -> Vec<&Notice> {
    found
        .iter()
        .filter_map(|finding| match finding {
            Finding::Notice(notice) => Some(notice),
            Finding::Attack(_) => None,
        })
        .collect()
}

/// The one attack, and no more than one.
#[track_caller]
fn one_attack(found: &[Finding]) -> &Attack {
    let attacks = attacks(found);
    assert_eq!(attacks.len(), 1, "{found:#?}");
    attacks[0]
}

#[track_caller]
fn no_attack(found: &[Finding]) {
    assert_eq!(attacks(found), Vec::<&Attack>::new());
}
