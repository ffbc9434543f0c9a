//! The command line: what is typed, what is printed, how it ends.

mod day;
mod examples;
mod generated;
mod lists;
mod log;
mod names;
mod oldnames;
mod status;
mod unattended;
mod who;

use nightlatch_lab::stage::{Plan, Stage};

use crate::support;

/// A server and a stranger.
fn stage() -> Option<Stage> {
    if !support::installed(&["nft"]) {
        return None;
    }
    support::stage(&Plan::standard().without("office").without("traveller"))
}

/// A text without its moments: `2026-11-20 09:17:00 UTC` becomes `TIME`, `(3s)` and `, 7h 59m
/// left` the same whatever they are.
fn timeless(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_inclusive([' ', '\n', ',']) {
        let digits = word.chars().map(|c| if c.is_ascii_digit() { '0' } else { c });
        let shape: String = digits.collect();
        if shape.trim_end() == "0000-00-00" || shape.trim_end() == "00:00:00" {
            continue;
        }
        if let Some(rest) = word.strip_prefix("UTC") {
            words.push(format!("TIME{rest}"));
            continue;
        }
        words.push(word.to_owned());
    }
    words.concat()
}
