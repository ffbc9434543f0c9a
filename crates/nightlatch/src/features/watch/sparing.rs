//! Who an address is, and whom a ban would spare: asked of the daemon, which decides.

use std::net::IpAddr;

use nightlatch_core::api::{Reply, Request, Why};

use super::replay::Would;
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
        if let Some(since) = would.attack.trusted_since {
            would.spared = Some(format!("people have logged in from there since {since}"));
        }
    }
    for would in sources.iter_mut().filter(|it| it.spared.is_none()).take(MAX_ASKED) {
        let address = would.attack.source.first_address();
        let why = match client::ask(&context.paths, Request::Why { address, to: None }) {
            Ok(Reply::Why(why)) => why,
            Ok(_) => return Ok(()),
            Err(failure) if failure.code == Code::NotRunning => return Ok(()),
            Err(failure) => return Err(failure),
        };
        would.spared = spared(&why);
    }
    Ok(())
}

fn spared(why: &Why) -> Option<String> {
    let mut about = About::new(why.address, why.now);
    why.about.iter().for_each(|reply| features::about(reply, &mut about));
    about.lines.sort_by_key(|(number, _)| *number);
    let own = about.lines.iter().filter(|(number, _)| *number <= LAST_OF_OWN);
    let own: Vec<&str> = own.map(|(_, line)| line.as_str()).collect();
    if !own.is_empty() && why.is_spared_by_lists {
        let own: Vec<String> =
            own.iter().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        return Some(own.join("; "));
    }
    if why.is_spared_by_lists {
        return Some("this server needs it".to_owned());
    }
    is_registrar(&about).then(|| "this server is registered there".to_owned())
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
