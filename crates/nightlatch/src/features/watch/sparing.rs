//! Who an address is, and whom a ban would spare: asked of the daemon, which decides.

use std::net::IpAddr;

use nightlatch_core::api::{Reply, Request, Why};
use nightlatch_core::ban::Limited;

use super::replay::{Spared, Would};
use crate::features;
use crate::features::about::About;
use crate::features::context::Context;
use crate::shell::client;
use crate::shell::outcome::{Code, Failure};

/// Of so many sources the daemon is asked.
const MAX_ASKED: usize = 2_000;
/// The lines of [`About`] up to this number tell who is allowed; those behind tell of countries and lists.
const LAST_OF_OWN: u8 = 19;
/// The number of the line that tells what follows from attacks, which does not tell who an address is.
const ATTACKS: u8 = 22;

/// Fills in which sources would be spared. Where no daemon runs, only those are known that the log itself
/// shows.
///
/// # Errors
/// The daemon runs, but refuses to answer.
pub(super) fn ask(context: &Context, sources: &mut [Would]) -> Result<(), Failure> {
    for would in sources.iter_mut() {
        would.spared = would.attack.trusted_since.map(|_| Spared::Trusted);
        would.limited = would.spared.is_some() && has_limit(would);
    }
    for would in sources.iter_mut().take(MAX_ASKED) {
        let address = would.attack.source.first_address();
        let why = match client::ask(&context.paths, Request::Why { address, to: None }) {
            Ok(Reply::Why(why)) => why,
            Ok(_) => return Ok(()),
            Err(failure) if failure.code == Code::NotRunning => return Ok(()),
            Err(failure) => return Err(failure),
        };
        take(would, &why);
    }
    Ok(())
}

/// Takes over why a ban would spare a source, and who it is where it is allowed.
fn take(would: &mut Would, why: &Why) {
    let about = about(why);
    let Some(sparing) = &about.sparing else { return };
    let spared = match sparing.because {
        "allowed" => Spared::Allowed,
        "guarded" => Spared::Guarded,
        "administers" => Spared::Administers,
        // Who logs in there is known from the log, and says more.
        _ if would.spared.is_some() => return,
        _ => Spared::Registered,
    };
    would.spared = Some(spared);
    would.limited = sparing.limited && has_limit(would);
    let own = about.lines.iter().filter(|(number, _)| *number <= LAST_OF_OWN);
    let own = own.map(|(_, line)| line.split_whitespace().collect::<Vec<_>>().join(" "));
    let own = own.collect::<Vec<_>>().join("; ");
    let is_named = spared == Spared::Allowed && !own.is_empty();
    would.because = if is_named { own } else { sparing.words.clone() };
}

/// Whether there are limits for the service that a source attacks.
fn has_limit(would: &Would) -> bool {
    Limited::of(would.attack.evidence.service).is_some()
}

/// What the features say of an address, in the order of the lines.
fn about(why: &Why) -> About {
    let mut about = About::new(why.address, why.now);
    why.about.iter().for_each(|reply| features::about(reply, &mut about));
    about.lines.sort_by_key(|(number, _)| *number);
    about
}

/// Who an address is, in a few words: what is configured for it.
pub(super) fn who(context: &Context, address: IpAddr) -> String {
    let request = Request::Why { address, to: None };
    let Ok(Reply::Why(why)) = client::ask(&context.paths, request) else { return String::new() };
    let about = about(&why);
    let short = |line: &str| {
        let line = line.get(10..).unwrap_or_default();
        line.split(", says").next().unwrap_or_default().to_owned()
    };
    let lines = about.lines.iter().filter(|(number, _)| *number != ATTACKS);
    let lines: Vec<String> = lines.map(|(_, line)| short(line)).collect();
    lines.join("; ")
}
