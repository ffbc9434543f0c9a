//! What is said about logs.

use nightlatch_core::attack::{Evidence, Outcome, Service, Weight};
use nightlatch_core::detect::{self, Trust};
use nightlatch_core::features::watch::{
    Blind, Blindness, Notice, Refusal, Reply, Source, SourceState, Unreadable, Watch, WhyLow,
};
use nightlatch_core::time::show_span;
use std::time::Duration;

use super::replay::{Replay, Would};
use crate::features::worded::Worded;
use crate::shell::screen::{self, grouped};

/// How many sources `watch test` shows of each kind.
const MAX_SHOWN: usize = 200;

impl Worded for Watch {
    fn say(_reply: &Reply, _changed: bool) -> Option<String> {
        None
    }

    fn refuse(refusal: &Refusal) -> String {
        match *refusal {}
    }

    fn notice(notice: &Notice) -> String {
        match notice {
            Notice::Judged(judged) => self::judged(judged),
            Notice::LinesLost { log, bytes: Some(bytes) } => format!(
                "the log {log} was emptied before its last {bytes} bytes were read: what they told is lost"
            ),
            Notice::LinesLost { log, bytes: None } => format!(
                "the log {log} was emptied or replaced while it was not read, and its old content is not beside it: lines written meanwhile are lost"
            ),
            Notice::NotRead { log, why } => {
                format!("the log {log} is not read: {}", unreadable(why))
            }
            Notice::NoJournal { error } => format!(
                "the journal cannot be read: {error}; attempts that only it tells of are not seen until it can be: try \"journalctl -f\""
            ),
            Notice::Refused { log, user, error } => {
                format!("{log} refuses the login as \"{user}\" ({error}): {}", correct(user))
            }
            Notice::NotConnected { log, since, error } => format!(
                "{log} has not been connected since {since}: {error}; what Asterisk reports meanwhile is not known, it is tried again at least once a minute"
            ),
            Notice::ConnectedAgain { log, from, until } => format!(
                "{log} is connected again; what Asterisk reported from {from} until {until} is not known"
            ),
            Notice::NoEvents { log, user } => {
                format!("{log} does not report attempts to \"{user}\": {}", allow(user))
            }
            Notice::NotKept { error } => format!(
                "how far logs were read cannot be kept: {error}; after a restart lines are read again"
            ),
        }
    }
}

/// What the judge has found out, beside attacks.
fn judged(notice: &detect::Notice) -> String {
    match notice {
        detect::Notice::PasswordFound {
            source,
            service,
            account,
            failures,
            accounts_tried,
            at,
            ..
        } => {
            format!(
                "a password was found: {source} logged in at {} as \"{account}\" at {at}, after {failures} failures with {accounts_tried} accounts: change that password now, end what it does (\"nightlatch block {source}\"), and look at its calls",
                self::service(*service)
            )
        }
        detect::Notice::AccountsGuessed {
            source,
            service,
            accounts_tried,
            accounts,
            trusted_since,
            ..
        } => {
            format!(
                "{source}, from which people log in since {trusted_since}, guesses: {accounts_tried} accounts failed at {} ({}); it is limited, not banned: find out which device it is",
                self::service(*service),
                quoted(accounts)
            )
        }
        detect::Notice::BadPhone { source, account, agent, fault, attempts, since, .. } => {
            let agent = agent.as_ref().map(|agent| format!(" (\"{agent}\")")).unwrap_or_default();
            let fault = match fault {
                Outcome::UnknownAccount => "an account that does not exist",
                Outcome::NotAllowed => "an account that may not be used from there",
                _ => "a wrong password",
            };
            format!(
                "\"{account}\" at {source}{agent} has had {fault} since {since}: {attempts} attempts; correct it at the phone, nobody is banned for it"
            )
        }
        detect::Notice::PhoneRecovered { source, account, attempts, since, .. } => format!(
            "\"{account}\" at {source} logs in again, after {attempts} failed attempts since {since}"
        ),
        detect::Notice::AttackBegan { source, service, .. } => format!(
            "an attack begins: {source} tries logins at {}; \"nightlatch watch\" shows it",
            self::service(*service)
        ),
        detect::Notice::AttackEnded { sources, attempts, since, until } => format!(
            "the attack has ended: {sources} sources attacked from {since} to {until}, {attempts} attempts failed"
        ),
        detect::Notice::Doubtful { log, lines, sources, text, .. } => {
            let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
            format!(
                "{lines} lines in {log} name several sources ({}) and are not believed, so nobody was banned for them: \"{text}\"",
                sources.join(", ")
            )
        }
    }
}

fn quoted(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| format!("\"{text}\"")).collect();
    quoted.join(", ")
}

/// Why a log is not read, and what to do.
fn unreadable(why: &Unreadable) -> String {
    match why {
        Unreadable::Symlink => {
            "it is a symbolic link, which could lead to any file: name the file itself in a table [[watch]]".to_owned()
        }
        Unreadable::NoFile => "it is not a regular file".to_owned(),
        Unreadable::Failed { error } => error.clone(),
    }
}

/// What to do where a login at a manager interface is refused.
fn correct(user: &str) -> String {
    format!(
        "check [{user}] in manager.conf (secret, read = security, permit = 127.0.0.1/32), then run asterisk -rx \"manager reload\""
    )
}

/// What to do where it reports nothing.
fn allow(user: &str) -> String {
    format!(
        "write read = security under [{user}] in manager.conf, then run asterisk -rx \"manager reload\""
    )
}

/// The kind of a service.
pub(super) fn service(service: Service) -> &'static str {
    match service {
        Service::Sip => "sip",
        Service::Iax => "iax",
        Service::Ami => "ami",
        Service::Web => "web",
        Service::Provisioning => "phones",
        Service::Ssh => "ssh",
        Service::Other => "other",
    }
}

/// How an attempt ended.
pub(super) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::WrongPassword => "wrong password",
        Outcome::UnknownAccount => "unknown account",
        Outcome::NotAllowed => "not allowed",
        Outcome::Malformed => "malformed",
        Outcome::UnknownNumber => "unknown number",
        Outcome::Challenged => "challenged",
        Outcome::TooMany => "too many contacts",
        Outcome::Succeeded => "logged in",
    }
}

/// A log in a table.
pub(super) fn row(source: &Source) -> Vec<String> {
    let trust = match (&source.trust, &source.why_low) {
        (Trust::Full, _) => "full".to_owned(),
        (Trust::Low, None) => "low".to_owned(),
        (Trust::Low, Some(why)) => format!("low: {}", why_low(why)),
    };
    let attempts = match source.doubtful {
        0 => grouped(source.attempts.into()),
        doubtful => format!("{} ({doubtful} doubtful)", grouped(source.attempts.into())),
    };
    vec![
        source.log.clone(),
        source.format.clone().unwrap_or_else(|| "not detected yet".to_owned()),
        trust,
        grouped(source.lines.into()),
        attempts,
        source.last_line.map_or_else(|| "none yet".to_owned(), |at| at.to_string()),
        state(source),
    ]
}

fn state(source: &Source) -> String {
    let mut state = match &source.state {
        SourceState::Read => match source.since {
            Some(since) => format!("read since {since}"),
            None => "read".to_owned(),
        },
        SourceState::Missing => "not there yet".to_owned(),
        SourceState::Unreadable(why) => format!("not read: {}", unreadable(why)),
        SourceState::NotConnected { error } => format!("not connected: {error}"),
        SourceState::Refused { user, error } => {
            format!("login as \"{user}\" refused ({error}): {}", correct(user))
        }
        SourceState::NoEvents { user } => {
            format!("connected, but reports nothing: {}", allow(user))
        }
        SourceState::Superseded { by } => format!("not read: {by} is"),
    };
    if source.lost > 0 {
        state.push_str(&format!(", {} bytes lost", grouped(source.lost.into())));
    }
    if source.gaps > 0 {
        let span = show_span(Duration::from_secs(source.gap_seconds));
        let times = match source.gaps {
            1 => "once".to_owned(),
            more => format!("{} times", grouped(more.into())),
        };
        state.push_str(&format!(
            ", was not connected {times}, for {span} in all: what was then is not known"
        ));
    }
    if source.too_long > 0 {
        state.push_str(&format!(", {} lines too long", grouped(source.too_long.into())));
    }
    state
}

fn why_low(why: &WhyLow) -> String {
    match why {
        WhyLow::User { uid } => format!("user {uid} can write it"),
        WhyLow::Group { gid } => format!("group {gid} can write it"),
        WhyLow::Everybody => "everybody can write it".to_owned(),
        WhyLow::Syslog => "any program can write such lines".to_owned(),
        WhyLow::Network => "it comes over a network".to_owned(),
        WhyLow::UnknownUser => "whose program it is is not known".to_owned(),
    }
}

/// What leaves no line, with what changes that.
pub(super) fn blind(blind: &[Blind]) -> Vec<String> {
    let one = |blind: &Blind| {
        let (what, how) = match blind.what {
            Blindness::IaxLogins => ("failed IAX2 logins are in no log", "under [general]"),
            Blindness::FreeswitchLogins => {
                ("failed logins at this profile are in no log", "under <settings>")
            }
            Blindness::KamailioLogins => {
                ("failed logins at Kamailio are in no log", "and call its route, as it says")
            }
            Blindness::AriLogins => (
                "failed logins at Asterisk's REST interface are in no log, whatever is configured",
                "under [general]: then only this server reaches it",
            ),
            Blindness::AsteriskSecurity => (
                "Asterisk does not write its security events, which tell most exactly who failed",
                "under [logfiles], or read = security under a user of manager.conf",
            ),
        };
        format!("BLIND  {what}\n       {}: write {} {how}", blind.file, blind.fix)
    };
    blind.iter().map(one).collect()
}

/// What a replayed log told.
pub(super) fn replayed(file: &str, replay: &Replay) -> Vec<String> {
    let (counts, told) = (&replay.lines.counts, &replay.told);
    let format = replay.lines.how.name();
    let format = format.unwrap_or_else(|| "unknown: use --as to name it".to_owned());
    let span = match (told.first, told.last) {
        (Some(first), Some(last)) => format!(", from {first} to {last}"),
        _ => String::new(),
    };
    let mut lines = vec![format!(
        "{}: {} lines, format {format}; {} attempts{span}",
        screen::printable(file),
        grouped(counts.lines.into()),
        grouped(counts.attempts.into()),
    )];
    if counts.doubtful > 0 {
        lines.push(format!("{} lines name several sources, and are not believed", counts.doubtful));
    }
    if counts.too_long > 0 {
        lines.push(format!("{} lines are too long, and were left out", counts.too_long));
    }
    let (banned, spared): (Vec<&Would>, Vec<&Would>) =
        told.sources.iter().partition(|would| would.spared.is_none());
    if told.sources.is_empty() {
        lines.push("Nobody would have been banned.".to_owned());
    }
    for would in banned.iter().take(MAX_SHOWN) {
        lines.extend(source(would));
    }
    let more = banned.len().saturating_sub(MAX_SHOWN) as u64 + told.more;
    if more > 0 {
        lines.push(format!("and {more} more would have been banned (--json has all)"));
    }
    for would in spared.iter().take(MAX_SHOWN) {
        let why = would.spared.as_deref().unwrap_or_default();
        lines.push(format!("limited, not banned: {} at {}: {why}", would.attack.source, would.at));
        lines.push(format!("    {}", evidence(&would.attack.evidence)));
    }
    lines.extend(told.notices.iter().map(|notice| format!("notice: {}", judged(notice))));
    lines
}

fn source(would: &Would) -> Vec<String> {
    let weight = match would.attack.weight {
        Weight::Full => "banned",
        Weight::Brief => "banned briefly",
    };
    let mut lines = vec![
        format!("{weight}: {} at {}", would.attack.source, would.at),
        format!("    {}", evidence(&would.attack.evidence)),
    ];
    if would.later > 0 {
        lines.push(format!("    {} more attempts came afterwards", grouped(would.later.into())));
    }
    if let Some(last) = would.attack.evidence.lines.last() {
        lines.push(format!("    \"{}\"", last.text));
    }
    lines
}

/// `6 attempts at sip within 32s, 3 accounts: "100", "200" (limit: 5 within 10m)`.
fn evidence(evidence: &Evidence) -> String {
    let (count, seconds) = evidence.threshold;
    let accounts = match evidence.accounts.is_empty() {
        true => String::new(),
        false => format!(": {}", quoted(&evidence.accounts)),
    };
    let counted = match evidence.score > evidence.attempts {
        true => format!(", some of which count twice: {}", evidence.score),
        false => String::new(),
    };
    format!(
        "{} attempts at {} within {}, {} accounts{accounts} (limit: {count} within {}{counted})",
        evidence.attempts,
        service(evidence.service),
        show_span(evidence.last.since(evidence.since)),
        evidence.accounts_tried,
        show_span(Duration::from_secs(seconds)),
    )
}
