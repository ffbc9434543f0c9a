//! Users, their secrets and their cards, with the real daemon.

mod cards;
mod killed;
mod searched;

use std::collections::BTreeMap;
use std::path::PathBuf;

use nightlatch_lab::stage::{Plan, Stage};

use crate::support::{self, Installation};

/// A server and its office, or `None` where this machine does not allow namespaces.
fn stage() -> Option<Stage> {
    if !support::installed(&["nft"]) {
        return None;
    }
    support::stage(&Plan::standard())
}

fn server(stage: &Stage) -> Installation<'_> {
    Installation::on(stage.host("server").unwrap()).with_asterisk()
}

/// What the card of a user says, one word and its value a line. It is recorded that it was shown.
fn card(nightlatch: &Installation<'_>, user: &str) -> BTreeMap<String, String> {
    let file = PathBuf::from(nightlatch.directory()).join("card-to-read");
    let path = file.to_str().unwrap();
    nightlatch.must(&["user", "card", user, "--again", "--text", path]);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(file).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(": "));
    lines.map(|(word, value)| (word.to_owned(), value.to_owned())).collect()
}

/// The secrets among them, as texts that must not show anywhere else.
fn secrets(card: &BTreeMap<String, String>) -> Vec<String> {
    let known = ["KEY", "HMAC_KEY", "USER_AGENT", "KNOCK", "SPA_SERVER_PORT"];
    let values = known.iter().filter_map(|word| card.get(*word));
    values.flat_map(|value| value.split(' ').map(str::to_owned)).collect()
}
