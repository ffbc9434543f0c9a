//! Who an address is, and whom a ban would spare: asked of the daemon, which decides.

use std::net::IpAddr;

use nightlatch_core::api::{Reply, Request, Why};

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

/// Fills in which sources would be spared. Where no daemon runs, only those are known that the log itself
/// shows.
///
/// # Errors
/// The daemon runs, but refuses to answer.
pub(super) fn ask(context: &Context, sources: &mut [Would]) -> Result<(), Failure> {
    for would in sources.iter_mut() {
        would.spared = would.attack.trusted_since.map(|_| Spared::Trusted);
    }
    for would in sources.iter_mut().filter(|it| it.spared.is_none()).take(MAX_ASKED) {
        let address = would.attack.source.first_address();
        let why = match client::ask(&context.paths, Request::Why { address, to: None }) {
            Ok(Reply::Why(why)) => why,
            Ok(_) => return Ok(()),
            Err(failure) if failure.code == Code::NotRunning => return Ok(()),
            Err(failure) => return Err(failure),
        };
        (would.spared, would.who) = spared(&why);
    }
    Ok(())
}

/// Why a ban would spare an address, and who it is where it is allowed.
fn spared(why: &Why) -> (Option<Spared>, String) {
    let mut about = About::new(why.address, why.now);
    why.about.iter().for_each(|reply| features::about(reply, &mut about));
    if why.is_spared_by_lists {
        about.lines.sort_by_key(|(number, _)| *number);
        let own = about.lines.iter().filter(|(number, _)| *number <= LAST_OF_OWN);
        let own = own.map(|(_, line)| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let own = own.collect::<Vec<_>>().join("; ");
        let why = if own.is_empty() { Spared::Guarded } else { Spared::Allowed };
        return (Some(why), own);
    }
    (is_registrar(&about).then_some(Spared::Registered), String::new())
}

/// Whether this server is registered at the address. Whom it merely calls or answers may be anybody.
fn is_registrar(about: &About) -> bool {
    let fields = serde_json::to_value(&about.fields).unwrap_or_default();
    let known = fields.get("known").and_then(serde_json::Value::as_array);
    let by = known.into_iter().flatten().filter_map(|peer| peer.get("by")?.as_str());
    by.into_iter().any(|by| by.starts_with("registered"))
}

/// Who an address is, in a few words: what is configured for it.
pub(super) fn who(context: &Context, address: IpAddr) -> String {
    let request = Request::Why { address, to: None };
    let Ok(Reply::Why(why)) = client::ask(&context.paths, request) else { return String::new() };
    let mut about = About::new(address, why.now);
    why.about.iter().for_each(|reply| features::about(reply, &mut about));
    about.lines.sort_by_key(|(number, _)| *number);
    let short = |line: &str| {
        let line = line.get(10..).unwrap_or_default();
        line.split(", says").next().unwrap_or_default().to_owned()
    };
    let lines: Vec<String> = about.lines.iter().map(|(_, line)| short(line)).collect();
    lines.join("; ")
}
