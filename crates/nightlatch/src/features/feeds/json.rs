//! Feeds in JSON: with sentences where the daemon has data.

use nightlatch_core::features::feeds::{Feed, FeedState, FeedView};
use nightlatch_core::lists::Version;
use nightlatch_core::time::Time;
use serde::Serialize;

use super::wording;

#[derive(Serialize)]
pub(super) struct Shown<'a> {
    feed: &'a Feed,
    state: State<'a>,
    stale: bool,
    fetching: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrived: Option<u64>,
}

#[derive(Serialize)]
struct State<'a> {
    fetched: Option<Time>,
    checked: Option<Time>,
    failures: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rests_until: Option<Time>,
    result: String,
    notes: Vec<String>,
    entries_v4: usize,
    entries_v6: usize,
    version: &'a Version,
    stopped: u64,
    stopped_alone: u64,
}

/// Several feeds.
pub(super) fn feeds(views: &[FeedView]) -> Vec<Shown<'_>> {
    views.iter().map(feed).collect()
}

/// One feed.
pub(super) fn feed(view: &FeedView) -> Shown<'_> {
    let FeedView { feed, state, stale, fetching, arrived } = view;
    let state = State::of(feed, state);
    Shown { feed, state, stale: *stale, fetching: *fetching, arrived: *arrived }
}

impl State<'_> {
    fn of<'a>(feed: &Feed, state: &'a FeedState) -> State<'a> {
        State {
            fetched: state.fetched,
            checked: state.checked,
            failures: state.failures,
            rests_until: state.rests_until,
            result: wording::outcome(feed.name.as_str(), &state.result),
            notes: state.notes.iter().map(wording::note).collect(),
            entries_v4: state.entries_v4,
            entries_v6: state.entries_v6,
            version: &state.version,
            stopped: state.stopped,
            stopped_alone: state.stopped_alone,
        }
    }
}
