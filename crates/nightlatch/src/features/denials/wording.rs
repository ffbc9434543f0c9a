//! What is said about denials.

use nightlatch_core::audit::Record;
use nightlatch_core::features::denials::{Denial, DenialCause, Denials, Notice, Refusal, Reply};
use nightlatch_core::policy::DenialScope;
use nightlatch_core::time::{Time, show_span};
use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::features::about::{About, Claim};
use crate::features::report::Report;
use crate::features::worded::Worded;
use crate::shell::screen;

/// How many denials `status` shows on the screen.
const MAX_LINES: usize = 10;

impl Worded for Denials {
    fn say(reply: &Reply, _changed: bool) -> Option<String> {
        match reply {
            Reply::TrunkStays { address } => Some(format!(
                "{address} stays a trunk because this host is registered there; to close it too, use \"nightlatch block {address}\""
            )),
            Reply::All(_) | Reply::Report { .. } => None,
        }
    }

    fn refuse(refusal: &Refusal) -> String {
        match *refusal {}
    }

    fn notice(notice: &Notice) -> String {
        let Notice::UnlistedContact(Denial { range, cause, scope, .. }) = notice;
        let extension = match cause {
            DenialCause::UnlistedContact { extension } => extension.as_str(),
            DenialCause::AccountGone { account } => account.as_str(),
        };
        let what = match scope {
            DenialScope::Everything => "services and media are denied",
            DenialScope::ExceptMedia => {
                "services are denied, but not media, because no packet came from this address"
            }
        };
        format!(
            "{extension} is registered at the PBX with address {range}, which no account covers: {what}; \"nightlatch allow NAME {range}\" allows it"
        )
    }

    fn report(reply: &Reply, report: &mut Report) {
        let Reply::Report { first, count } = reply else { return };
        report.field(140, "denials", first);
        report.field(141, "denial_count", count);
        for denial in first {
            if let DenialCause::UnlistedContact { extension } = &denial.cause {
                report.unlisted(json!(denial), unlisted(denial, extension));
            }
        }
        for denial in first.iter().take(MAX_LINES) {
            let why = screen::printable(&cause(denial));
            report.line(90, format!("denied    {}: {why}", denial.range));
        }
        let more = count.saturating_sub(MAX_LINES);
        if more > 0 {
            report.line(90, format!("denied    and {more} more"));
        }
    }

    fn about(reply: &Reply, about: &mut About) {
        let Reply::All(denials) = reply else { return };
        about.field_unless_empty(120, "denials", denials);
        for denial in denials {
            about.because(Claim::Deny(denial.range), told(denial, about.now()));
        }
    }

    fn audited(_record: &Record, value: &Value) -> Option<String> {
        let denial = Denial::deserialize(value).ok()?;
        let why = match &denial.cause {
            DenialCause::AccountGone { account } => format!("{}, gone", gone(account)),
            DenialCause::UnlistedContact { extension } => {
                format!("{extension} at the PBX, without an account{}", exception(&denial))
            }
        };
        Some(format!("{why}, until {}", denial.until))
    }
}

/// What is not denied, to be appended to a sentence.
fn exception(denial: &Denial) -> &'static str {
    match denial.scope {
        DenialScope::ExceptMedia => " (except media, because no packet came from this address)",
        DenialScope::Everything => "",
    }
}

/// That a phone is denied because it is registered without an account.
fn unlisted(denial: &Denial, extension: &str) -> String {
    let (range, extension) = (denial.range, screen::printable(extension));
    format!(
        "{extension} at {range} is registered at the PBX without an account and is denied{}; \"nightlatch allow NAME {range} --services sip\" allows it",
        exception(denial)
    )
}

/// What allowed a range before. Records other than accounts are named by their feature and their key.
fn gone(name: &str) -> String {
    match name.split_once('/') {
        Some((_, key)) => format!("what allowed it ({key})"),
        None => format!("account \"{name}\""),
    }
}

/// Why a range is denied.
fn cause(denial: &Denial) -> String {
    match &denial.cause {
        DenialCause::AccountGone { account } if account.is_empty() => {
            "closed by an earlier version".to_owned()
        }
        DenialCause::AccountGone { account } => {
            format!("{} was removed or changed, or has expired", gone(account))
        }
        DenialCause::UnlistedContact { extension } => format!(
            "{extension} is registered at the PBX with this address, without an account{}",
            exception(denial)
        ),
    }
}

/// The same, since when, for how long, and what ends it.
fn told(denial: &Denial, now: Time) -> String {
    let lasts = show_span(denial.until.since(now));
    let Denial { range, since, .. } = denial;
    match &denial.cause {
        DenialCause::AccountGone { account } if account.is_empty() => format!(
            "closed by an earlier version, which did not note why; denied for {lasts} more, and as long as the PBX has a contact there; \"nightlatch allow NAME {range}\" allows it again"
        ),
        DenialCause::AccountGone { account } => format!(
            "{} was removed, changed or expired at {since}; denied for another {lasts}, and for as long as the PBX has a contact there; \"nightlatch allow NAME {range}\" allows it again",
            gone(account)
        ),
        DenialCause::UnlistedContact { extension } => format!(
            "{extension} is registered at the PBX with this address (found at {since}), and no account covers it; denied{} until the PBX has no contact there; \"nightlatch allow NAME {range}\" allows it",
            exception(denial)
        ),
    }
}
