//! What the plan says about running media streams.

use std::collections::BTreeMap;

use nightlatch_core::cut::{Began, LiveFlow};
use nightlatch_core::probe::FlowFinding;
use nightlatch_core::service::Protocol;
use serde::Serialize;

use crate::shell::streams::Stream;

/// The running media streams, as far as they could be seen.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Media {
    /// All streams; those that end come first.
    pub(super) streams: Vec<StreamLine>,
    /// Why packets could not be captured; `streams` then has only what connection tracking knows.
    pub(super) unread: Option<String>,
}

/// A media stream and what happens to it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct StreamLine {
    /// Its ends (`peer`, `peer_port`, `local_port`), and how many packets were seen within a second
    /// (`to_peer`, `from_peer`).
    #[serde(flatten)]
    pub(super) stream: Stream,
    /// What happens to it.
    pub(super) outcome: Outcome,
}

/// What happens to a media stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Outcome {
    /// It ends: only the other side sends, and no account allows it.
    Ends,
    /// Unknown: packets could not be captured.
    Unknown,
    /// It continues: this host sends.
    ContinuesHostSends,
    /// It continues: only the other side sends, and an account or the mode allows it.
    ContinuesAllowed,
}

impl Outcome {
    fn text(self) -> &'static str {
        match self {
            Outcome::Ends => "ends: only the other side sends and no account allows it",
            Outcome::Unknown => "unknown: packets could not be captured",
            Outcome::ContinuesHostSends => "continues: this host sends",
            Outcome::ContinuesAllowed => "continues: it is allowed",
        }
    }
}

/// Merges the captured streams into the known flows: adds untracked streams, and records whether this
/// host sends.
pub(super) fn join(flows: &mut Vec<LiveFlow>, seen: &[Stream]) {
    let seen = seen.iter().map(|stream| {
        let flow = live_flow(stream);
        ((flow.protocol, flow.peer, flow.peer_port, flow.local_port), flow)
    });
    let mut seen: BTreeMap<_, LiveFlow> = seen.collect();
    for flow in flows.iter_mut() {
        let known = seen.remove(&(flow.protocol, flow.peer, flow.peer_port, flow.local_port));
        flow.host_sends |= known.is_some_and(|known| known.host_sends);
    }
    flows.extend(seen.into_values());
}

fn live_flow(stream: &Stream) -> LiveFlow {
    let Stream { peer, peer_port, local_port, to_peer, .. } = *stream;
    let host_sends = to_peer > 0;
    let began = if host_sends { Began::Unknown } else { Began::Peer };
    LiveFlow { protocol: Protocol::Udp, peer, peer_port, local_port, began, host_sends }
}

impl Media {
    /// What happens to the captured streams, given what happens to the flows after [`join`].
    pub(super) fn of(
        seen: Result<Vec<Stream>, String>,
        flows: &BTreeMap<LiveFlow, FlowFinding>,
    ) -> Media {
        let key = |flow: &LiveFlow| (flow.peer, flow.peer_port, flow.local_port);
        let media = flows.iter().filter(|(_, found)| found.is_media);
        let media: BTreeMap<_, _> = media.map(|(flow, found)| (key(flow), (flow, found))).collect();
        let (seen, unread) = match seen {
            Ok(seen) => (seen, None),
            Err(reason) => {
                (media.values().map(|(flow, _)| tracked(flow)).collect::<Vec<_>>(), Some(reason))
            }
        };
        // VPN streams were captured too.
        let line = |stream: Stream| {
            let (flow, found) = media.get(&key(&live_flow(&stream)))?;
            let outcome = if flow.host_sends {
                Outcome::ContinuesHostSends
            } else if found.is_allowed {
                Outcome::ContinuesAllowed
            } else if unread.is_some() {
                Outcome::Unknown
            } else {
                Outcome::Ends
            };
            Some(StreamLine { stream, outcome })
        };
        let mut streams: Vec<_> = seen.into_iter().filter_map(line).collect();
        streams.sort_by_key(|line| (line.outcome, line.stream));
        Media { streams, unread }
    }

    /// The lines for the screen.
    pub(super) fn lines(&self) -> Vec<String> {
        let unread = self.unread.iter().map(|reason| {
            format!("unknown: packets could not be captured: {reason}; calls may be running")
        });
        let streams = self.streams.iter().map(|line| {
            let Stream { peer, peer_port, local_port, .. } = line.stream;
            let outcome = line.outcome.text();
            format!("{peer} port {peer_port}, local port {local_port}: {outcome}")
        });
        unread.chain(streams).collect()
    }
}

/// A stream that only connection tracking knows.
fn tracked(flow: &LiveFlow) -> Stream {
    let LiveFlow { peer, peer_port, local_port, .. } = *flow;
    Stream { peer, peer_port, local_port, to_peer: 0, from_peer: 0 }
}

#[cfg(test)]
mod tests {
    use nightlatch_core::features::State;
    use nightlatch_core::probe::{Fate, Probe};

    use super::super::dry_run;
    use super::*;

    fn stream(peer_port: u16, to_peer: u32, from_peer: u32) -> Stream {
        let peer = "203.0.113.75".parse().unwrap();
        Stream { peer, peer_port, local_port: 17_090, to_peer, from_peer }
    }

    fn check(seen: Result<Vec<Stream>, String>, mut flows: Vec<LiveFlow>, expected: &[&str]) {
        join(&mut flows, seen.as_deref().unwrap_or_default());
        let probe = Probe { flows: flows.clone(), ..Probe::default() };
        let found = dry_run::found(State::default(), probe).flows;
        let found: BTreeMap<_, _> = flows.into_iter().zip(found).collect();
        let media = Media::of(seen, &found);
        assert_eq!(media.lines(), expected);
        for line in &media.streams {
            let same =
                |(flow, _): &(&LiveFlow, &FlowFinding)| flow.peer_port == line.stream.peer_port;
            let ends = found.iter().find(same).is_some_and(|(_, found)| found.fate == Fate::Ends);
            if media.unread.is_none() {
                assert_eq!(ends, line.outcome == Outcome::Ends);
            }
        }
    }

    #[test]
    fn which_streams_end_and_which_continue() {
        let line =
            |port: u16, text: &str| format!("203.0.113.75 port {port}, local port 17090: {text}");
        let ends = "ends: only the other side sends and no account allows it";
        let sends = "continues: this host sends";
        let seen = vec![stream(4000, 50, 50), stream(4002, 50, 0), stream(4004, 0, 50)];
        check(
            Ok(seen.clone()),
            Vec::new(),
            &[&line(4004, ends), &line(4000, sends), &line(4002, sends)],
        );
        // This host sent earlier, as connection tracking knows.
        let tracked = LiveFlow { host_sends: true, ..live_flow(&stream(4004, 0, 50)) };
        check(Ok(vec![stream(4004, 0, 50)]), vec![tracked], &[&line(4004, sends)]);
        // It sends now, and connection tracking does not know it yet.
        let tracked = live_flow(&stream(4000, 0, 1));
        check(Ok(vec![stream(4000, 1, 1)]), vec![tracked], &[&line(4000, sends)]);
        check(Ok(Vec::new()), Vec::new(), &[]);
        check(
            Err("permission denied".to_owned()),
            vec![tracked],
            &[
                "unknown: packets could not be captured: permission denied; calls may be running",
                &line(4000, "unknown: packets could not be captured"),
            ],
        );
    }
}
