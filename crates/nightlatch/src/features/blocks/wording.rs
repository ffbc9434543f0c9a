//! What is said about blocks.

use nightlatch_core::audit::Record;
use nightlatch_core::features::blocks::{Block, Blocks, Notice, Refusal, Reply, Request};
use nightlatch_core::ranges::Untouchable;
use nightlatch_core::time::{Time, show_span};
use serde::Deserialize as _;
use serde_json::Value;

use crate::features::about::{About, Claim};
use crate::features::listing::Listing;
use crate::features::report::Report;
use crate::features::worded::Worded;
use crate::shell::screen;

impl Worded for Blocks {
    fn say(reply: &Reply, _changed: bool) -> Option<String> {
        Some(match reply {
            Reply::Blocked(block) => {
                let until = block.until.map_or_else(String::new, |until| {
                    format!(" until {until} ({})", show_span(until.since(block.since)))
                });
                format!("{} is blocked{until}", block.range)
            }
            Reply::Unblocked { range } => format!("{range} is no longer blocked"),
            Reply::StaysBlocked { range } => format!(
                "warning: {range} is still blocked: to unblock it, use \"nightlatch unblock {range}\""
            ),
            Reply::ShutsOut { guarded, what, range } => format!(
                "warning: {guarded}, {what}, is covered by a block: to remove it, use \"nightlatch unblock {range}\""
            ),
            Reply::All(_) | Reply::Report { .. } => return None,
        })
    }

    fn refuse(refusal: &Refusal) -> String {
        match refusal {
            Refusal::Everybody { range } => format!(
                "{range} covers a large part of the internet and cannot be blocked: to drop everybody without an account, use \"nightlatch mode allowlist\""
            ),
            Refusal::Untouchable { range, network, what } => {
                let what = match (what, network.contains(':') || network.ends_with(".1")) {
                    (Untouchable::Loopback, true) => "the loopback address",
                    (Untouchable::Loopback, false) => "the loopback network",
                    (Untouchable::Link, _) => "the link's own addresses",
                    (Untouchable::Multicast, _) => "multicast",
                };
                format!("{range} cannot be blocked: it overlaps {network}, {what}")
            }
            Refusal::Guarded { range, guarded, what } => format!(
                "{range} is not blocked: {guarded} is {what}, and the server needs it; to block it anyway, add --force"
            ),
            Refusal::NotBlocked { range, around: Some(around) } => format!(
                "{range} itself is not blocked, but {around} is: \"nightlatch unblock {around}\""
            ),
            Refusal::NotBlocked { range, around: None } => {
                format!("{range} is not blocked: \"nightlatch list\" shows all blocks")
            }
        }
    }

    fn notice(notice: &Notice) -> String {
        match notice {
            Notice::Ended { range } => format!("the block of {range} has ended"),
        }
    }

    fn report(reply: &Reply, report: &mut Report) {
        let Reply::Report { count, ending } = reply else { return };
        report.count(80, "blocks", *count);
        for (range, until) in ending {
            report.ending(format!("block of {range}"), *until);
        }
    }

    fn list() -> Option<Request> {
        Some(Request::List)
    }

    fn listed(reply: &Reply, listing: &mut Listing) {
        const HEADER: &[&str] = &["BLOCKED", "UNTIL", "BY", "REASON"];
        let Reply::All(blocks) = reply else { return };
        listing.records((20, "blocks"), blocks, HEADER, row, "");
    }

    fn about(reply: &Reply, about: &mut About) {
        let Reply::All(blocks) = reply else { return };
        about.field(80, "blocks", blocks);
        for block in blocks {
            let reason = behind_colon(&block.reason);
            about.line(20, format!("block     {}{}", block.range, screen::printable(&reason)));
            about.because(Claim::Block(block.range), set(block, about.now()));
        }
    }

    fn audited(_record: &Record, value: &Value) -> Option<String> {
        let block = Block::deserialize(value).ok()?;
        let until = block.until.map_or("permanent".to_owned(), |at| format!("until {at}"));
        let reason =
            if block.reason.is_empty() { String::new() } else { format!(" ({})", block.reason) };
        Some(format!("{until}{reason}"))
    }
}

/// Who set a block, when, for how long, and why.
fn set(block: &Block, now: Time) -> String {
    let until = block.until.map_or_else(
        || "permanent".to_owned(),
        |until| format!("until {until}, {} left", show_span(until.since(now))),
    );
    let reason = behind_colon(&block.reason);
    format!("{} is blocked, set by {} at {}, {until}{reason}", block.range, block.by, block.since)
}

fn behind_colon(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

fn row(block: &Block) -> Vec<String> {
    let until = block.until.map_or_else(|| "permanent".to_owned(), |until| until.to_string());
    vec![block.range.to_string(), until, block.by.clone(), block.reason.clone()]
}
