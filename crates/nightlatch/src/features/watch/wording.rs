//! What is said about logs.

pub(super) mod summary;

use nightlatch_core::attack::{Outcome, Service, Weight};
use nightlatch_core::detect::{self, Thresholds, Trust, Underway};
use nightlatch_core::features::watch::{
    Blind, Blindness, Notice, Refusal, Reply, Source, SourceState, Unreadable, Watch, WhyLow,
};
use nightlatch_core::time::show_span;
use std::time::Duration;

use super::replay::{Replay, Spared, Would};
use crate::features::attempts::{self, at, count};
use crate::features::report::Report;
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

    fn report(reply: &Reply, report: &mut Report) {
        let Reply::Report { attack } = reply else { return };
        report.field(84, "attack", attack);
        report.attack = attack.as_ref().map(|attack| {
            let Underway { since, sources, attempts, .. } = attack;
            let sources = count((*sources).into(), "source", "sources");
            let attempts = count(*attempts, "failed attempt", "failed attempts");
            format!("an attack since {since}: {sources}, {attempts}")
        });
    }

    fn notice(notice: &Notice) -> String {
        match notice {
            Notice::Judged(judged) => self::judged(judged),
            Notice::LinesLost { log, bytes: Some(bytes) } => format!(
                "the log {log} was emptied before its last {bytes} bytes were read: their lines are lost"
            ),
            Notice::LinesLost { log, bytes: None } => format!(
                "the log {log} was emptied or replaced while it was not read, and there is no rotated copy of it beside it: lines written meanwhile are lost"
            ),
            Notice::NotRead { log, why } => {
                format!("the log {log} is not read: {}", unreadable(why))
            }
            Notice::NoJournal { error } => format!(
                "the journal cannot be read: {error}; attempts that are in no other log are not seen until then: find out with \"journalctl -f\" what is wrong"
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
                "it cannot be saved how far logs were read: {error}; after a restart, lines are read again from where it was saved last"
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
            at: when,
            ..
        } => {
            let account = match account.is_empty() {
                true => String::new(),
                false => format!(" as {}", screen::quoted(account)),
            };
            format!(
                "a password was probably guessed: {source} logged in{}{account} at {when}, after {} with {}; change that password now, block the address (\"nightlatch block {source}\"), and check which calls were made",
                at(*service),
                count((*failures).into(), "failed attempt", "failed attempts"),
                count((*accounts_tried).into(), "account", "accounts"),
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
                "{source} guesses passwords: {accounts_tried} accounts failed{} ({}); people have logged in from there since {trusted_since}, so it is limited and not banned: find the device that does it",
                at(*service),
                all_quoted(accounts)
            )
        }
        detect::Notice::BadPhone { source, account, agent, fault, attempts, since, .. } => {
            let agent = agent.as_ref().map(|agent| format!(" ({})", screen::quoted(agent)));
            let (account, agent) = (screen::quoted(account), agent.unwrap_or_default());
            let fault = match fault {
                Outcome::UnknownAccount => "an account that does not exist",
                Outcome::NotAllowed => "an account that may not be used from there",
                _ => "a wrong password",
            };
            format!(
                "{account} at {source}{agent} has had {fault} since {since}: {} failed; correct it at the phone. It is not banned, unless it goes on for more than a day and nobody has ever logged in from there",
                count((*attempts).into(), "attempt", "attempts"),
            )
        }
        detect::Notice::PhoneRecovered { source, account, attempts, since, .. } => format!(
            "{} at {source} logs in again, after {} since {since}",
            screen::quoted(account),
            count((*attempts).into(), "failed attempt", "failed attempts"),
        ),
        detect::Notice::AttackBegan { source, service, .. } => format!(
            "an attack has begun: {source} guesses passwords{}; \"nightlatch watch\" shows it",
            at(*service)
        ),
        detect::Notice::AttackEnded { sources, attempts, since, until } => format!(
            "the attack has ended: {} attacked from {since} to {until}, {} failed",
            count((*sources).into(), "source", "sources"),
            count(*attempts, "attempt", "attempts"),
        ),
        detect::Notice::NoAddress { log, lines, name, .. } => format!(
            "{} in {log} with {} in the place of the address: host names are not looked up, because whoever owns one chooses its address, so nobody was banned for this; let the program log addresses",
            count((*lines).into(), "line", "lines"),
            screen::quoted(name),
        ),
        detect::Notice::Doubtful { log, lines, sources, text, .. } => {
            let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
            format!(
                "{} in {log} with several addresses that could be the source ({}): somebody may have written one of them to get it banned, so nobody was; the text is {}",
                count((*lines).into(), "line", "lines"),
                sources.join(", "),
                screen::quoted(text)
            )
        }
    }
}

fn all_quoted(texts: &[String]) -> String {
    texts.iter().map(|text| screen::quoted(text)).collect::<Vec<_>>().join(", ")
}

/// Why a log is not read, and what to do.
fn unreadable(why: &Unreadable) -> String {
    match why {
        Unreadable::Symlink => {
            "it is a symbolic link, which could lead to any file; name the file itself in a table [[watch]]".to_owned()
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
        format(source),
        trust,
        grouped(source.lines.into()),
        attempts,
        source.last_line.map_or_else(|| "none yet".to_owned(), |at| at.to_string()),
        state(source),
    ]
}

/// By which format it is read; for a filter with its thresholds.
fn format(source: &Source) -> String {
    let format = source.format.clone().unwrap_or_else(|| "not detected yet".to_owned());
    match &source.thresholds {
        Some(thresholds) => format!("{format} ({})", self::thresholds(thresholds)),
        None => format,
    }
}

/// `5 within 10m: banned for 10m`.
fn thresholds(thresholds: &Thresholds) -> String {
    let Thresholds { maxretry, findtime, bantime } = thresholds;
    format!("{maxretry} within {}: banned for {}", show_span(*findtime), show_span(*bantime))
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
        SourceState::Superseded { by } => format!("not read: {by} has its lines"),
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
    if source.given_up > 0 {
        let given_up = count(source.given_up, "line", "lines");
        state.push_str(&format!(", {given_up} given up: the filter takes too long"));
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
            Blindness::OpensipsLogins => {
                ("failed logins at OpenSIPS are in no log", "and call its route, as it says")
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
        "{}: {}, format {format}; {}{span}",
        screen::printable(file),
        count(counts.lines, "line", "lines"),
        count(counts.attempts, "attempt", "attempts"),
    )];
    lines.push(limits(replay));
    if counts.doubtful > 0 {
        lines.push(format!(
            "{} of which the source is not sure: nobody is banned for these",
            count(counts.doubtful, "line", "lines")
        ));
    }
    if counts.too_long > 0 {
        lines.push(format!("{} too long, and left out", count(counts.too_long, "line", "lines")));
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
        lines
            .push(format!("{} more would have been banned (--json has all)", grouped(more.into())));
    }
    for would in spared.iter().take(MAX_SHOWN) {
        let why = spared_because(would);
        let instead = if would.limited { "limited, not banned" } else { "not banned" };
        lines.push(format!("{instead}: {} at {}: {why}", would.attack.source, would.at));
        lines.push(format!("    {}", attempts::seen(&would.attack.evidence)));
    }
    lines.extend(told.notices.iter().map(|notice| format!("notice: {}", judged(notice))));
    lines
}

/// What counts as an attack in a replayed log.
fn limits(replay: &Replay) -> String {
    if let Some(thresholds) = replay.lines.how.thresholds() {
        let instead = replay.lines.instead_of.as_ref();
        let instead = instead.map_or_else(String::new, |format| {
            format!("; the daemon reads such logs by the format {format} instead, and counts as [attempts] says")
        });
        return format!("thresholds of the filter: {}{instead}", self::thresholds(&thresholds));
    }
    let settings = &replay.settings;
    format!(
        "thresholds: {} within {}, or {} within {}",
        settings.quick_attempts,
        show_span(settings.quick_within),
        settings.slow_attempts,
        show_span(settings.slow_within)
    )
}

/// Why a source would not have been banned.
fn spared_because(would: &Would) -> String {
    match would.spared {
        Some(Spared::Trusted) => match would.attack.trusted_since {
            Some(since) => format!("people have logged in from there since {since}"),
            None => "people log in from there".to_owned(),
        },
        Some(_) => would.because.clone(),
        None => String::new(),
    }
}

fn source(would: &Would) -> Vec<String> {
    let banned = match (would.attack.bantime, would.attack.weight) {
        (Some(bantime), _) => format!("banned for {}", show_span(bantime)),
        (None, Weight::Full) => "banned".to_owned(),
        (None, Weight::Brief) => "banned briefly".to_owned(),
    };
    let mut lines = vec![
        format!("{banned}: {} at {}", would.attack.source, would.at),
        format!("    {}", attempts::seen(&would.attack.evidence)),
    ];
    if would.later > 0 {
        let later = count(would.later, "more attempt", "more attempts");
        lines.push(format!("    {later} came afterwards"));
    }
    if let Some(last) = would.attack.evidence.lines.last() {
        lines.push(format!("    {}", screen::quoted(&last.text)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use nightlatch_core::attack::{Attack, Evidence, Line};
    use nightlatch_core::detect::printable;
    use nightlatch_core::time::Time;

    use super::*;

    proptest::proptest! {
        #[test]
        fn texts_of_attackers_stay_in_their_quotes(
            text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..500),
        ) {
            let text = [b"MARK\"\x1b[2J\r\n".as_slice(), &text].concat();
            let at = Time::default();
            let line = Line { at, log: "/var/log/a".to_owned(), text: printable(&text, 400) };
            let evidence = Evidence {
                service: Service::Sip,
                attempts: 5,
                score: 10,
                networks: false,
                since: at,
                last: at,
                threshold: (5, 600),
                accounts_tried: 2,
                accounts: vec![printable(&text, 40), printable(&text, 7)],
                lines: vec![line],
            };
            let source = "192.0.2.1".parse().unwrap();
            let attack = Attack { source, weight: Weight::Full, trusted_since: None, bantime: None, evidence };
            let would = Would { at, attack, later: 1, spared: None, limited: false, because: String::new() };
            super::source(&would).iter().for_each(|line| screen::check_quotes(line, "MARK"));
        }
    }
}
