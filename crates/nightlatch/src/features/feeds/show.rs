//! Feeds on the screen.

use std::time::Duration;

use nightlatch_core::features::feeds::FeedView;
use nightlatch_core::time::show_span;

use super::catalogue::CATALOGUE;
use super::wording;
use crate::shell::{clock, screen};

/// Every feed: a line with its numbers, then what is remarkable.
pub(super) fn list(feeds: &[FeedView]) {
    if feeds.is_empty() {
        screen::say("No feeds. \"nightlatch feed catalogue\" lists known ones.");
        return;
    }
    let rows: Vec<Vec<String>> = feeds.iter().map(row).collect();
    let header = ["NAME", "IPV4", "IPV6", "AGE", "DROPPED", "UNIQUE", "LAST CHECK"];
    screen::table(&header, &rows);
    screen::say("");
    screen::say(
        "DROPPED counts packets in mode open; UNIQUE those that no other list would have dropped",
    );
    for view in feeds {
        for note in &view.state.notes {
            screen::say(format!(
                "note      {}: {}",
                view.feed.name,
                screen::printable(&wording::note(note))
            ));
        }
        if view.stale {
            screen::say(format!(
                "STALE     {}: the active content is more than ten update intervals old",
                view.feed.name
            ));
        }
    }
}

/// One feed: all that was said of it, and how it goes.
pub(super) fn one(view: &FeedView) {
    let (feed, state, now) = (&view.feed, &view.state, clock::now());
    let ago = |at| format!("{} ago", show_span(now.since(at)));
    let mut lines = vec![
        ("feed", feed.name.to_string()),
        ("source", feed.source.clone()),
        ("format", feed.format.clone()),
        ("every", show_span(feed.every)),
        ("added", format!("at {} by {}", feed.since, feed.by)),
    ];
    lines.extend(feed.key_file.iter().map(|path| ("key file", path.clone())));
    lines.extend(feed.headers.iter().map(|(name, value)| ("header", format!("{name}: {value}"))));
    lines.push(("entries", format!("{} of IPv4, {} of IPv6", state.entries_v4, state.entries_v6)));
    lines.extend(state.fetched.map(|at| ("fetched", ago(at))));
    let next = state.next_look(feed.every);
    let again = match state.checked {
        Some(_) if next > now => format!("; next check in {}", show_span(next.since(now))),
        _ => String::new(),
    };
    let when = state.checked.map_or_else(String::new, |at| format!("{}: ", ago(at)));
    lines.push(("checked", format!("{when}{}{again}", last_look(view))));
    lines.push((
        "packets",
        format!("{} dropped, {} of them by no other list", state.stopped, state.stopped_alone),
    ));
    lines.extend(state.notes.iter().map(|note| ("note", wording::note(note))));
    for (name, what) in lines {
        screen::say(format!("{name:<10}{}", screen::printable(&what)));
    }
}

fn last_look(view: &FeedView) -> String {
    let state = &view.state;
    let result = wording::outcome(view.feed.name.as_str(), &state.result);
    match (view.fetching, state.failures) {
        (true, _) => "being fetched".to_owned(),
        (false, 0) => result,
        (false, 1) => format!("FAILED: {result}"),
        (false, times) => format!("FAILED {times} times in a row: {result}"),
    }
}

fn row(view: &FeedView) -> Vec<String> {
    let state = &view.state;
    let now = clock::now();
    let age = state.fetched.map_or_else(|| "-".to_owned(), |at| show_span(now.since(at)));
    vec![
        view.feed.name.to_string(),
        state.entries_v4.to_string(),
        state.entries_v6.to_string(),
        age,
        state.stopped.to_string(),
        state.stopped_alone.to_string(),
        screen::printable(&last_look(view)),
    ]
}

/// The lists that need no more than their name.
pub(super) fn catalogue() {
    let rows: Vec<Vec<String>> = CATALOGUE
        .iter()
        .map(|known| {
            let key = if known.needs_key { "needs a key; " } else { "" };
            let every = show_span(Duration::from_secs(known.every_minutes * 60));
            vec![known.name.to_owned(), every, format!("{key}{} ({})", known.what, known.homepage)]
        })
        .collect();
    screen::table(&["NAME", "EVERY", "CONTENTS"], &rows);
    screen::say("");
    screen::say(
        "read the terms of use of a feed on its page before you add it with \"nightlatch feed add NAME\"",
    );
}

/// How a fetch goes, while somebody looks on.
pub(super) fn progress(feeds: &[FeedView], since: Duration) {
    let under_way: Vec<String> = feeds
        .iter()
        .filter(|view| view.fetching)
        .take(3)
        .map(|view| match view.arrived {
            Some(0) => format!("{}: asking", view.feed.name),
            Some(bytes) => format!("{}: {} kB", view.feed.name, bytes / 1024),
            None => format!("{}: being loaded", view.feed.name),
        })
        .collect();
    let done = feeds.iter().filter(|view| !view.fetching).count();
    screen::progress(&format!(
        "{}   {done} of {} done, {} s",
        under_way.join(", "),
        feeds.len(),
        since.as_secs()
    ));
}

/// How it went.
pub(super) fn outcome(view: &FeedView, took: Duration) {
    let (name, state) = (&view.feed.name, &view.state);
    let result = screen::printable(&wording::outcome(name.as_str(), &state.result));
    if state.failures > 0 {
        let kept = match state.entries_v4 + state.entries_v6 {
            0 => format!(
                "no entries are active; it is retried until you correct it with \"nightlatch feed add {name} ...\" or remove it with \"nightlatch feed remove {name}\""
            ),
            1 => "the previous entry stays active".to_owned(),
            entries => format!("the {entries} previous entries stay active"),
        };
        screen::complain(format!("feed \"{name}\" FAILED: {result}; {kept}"));
        return;
    }
    screen::say(format!("feed \"{name}\": {result} ({:.1} s)", took.as_secs_f32()));
    for note in &state.notes {
        screen::say(format!("note      {}", screen::printable(&wording::note(note))));
    }
}
