//! What is said about known peers.

use nightlatch_core::api::KnownPeer;
use nightlatch_core::audit::Record;
use nightlatch_core::features::peers::{Notice, Peers, Refusal, Reply};
use nightlatch_core::signalling::LearnedBy;
use nightlatch_core::time::show_span;
use serde::Deserialize as _;
use serde_json::Value;

use crate::features::about::About;
use crate::features::report::Report;
use crate::features::worded::Worded;
use crate::wording::did;

/// How many trunks `status` shows on the screen.
const MAX_LINES: usize = 10;

impl Worded for Peers {
    fn say(reply: &Reply, _changed: bool) -> Option<String> {
        Some(match reply {
            Reply::Forgotten { address } => format!(
                "{address} is no longer a known peer: its requests and responses are dropped until this host sends to it again, unless an account allows them"
            ),
            Reply::NoLongerConnects { address } => format!(
                "{address} can no longer open connections to the SIP ports: the PBX reports no registration there; if it is your carrier, run \"nightlatch allow NAME {address} --services sip\""
            ),
            Reply::Known(_) | Reply::Report { .. } => return None,
        })
    }

    fn refuse(refusal: &Refusal) -> String {
        let Refusal::NotKnown { address } = refusal;
        format!("not a known peer: {address}; \"nightlatch peer list\" shows the known peers")
    }

    fn notice(notice: &Notice) -> String {
        match *notice {}
    }

    fn report(reply: &Reply, report: &mut Report) {
        let Reply::Report { first, count, pbx_answered, pbx_is_silent } = reply else { return };
        report.field(130, "known_peers", first);
        report.field(131, "known_peer_count", count);
        report.set_pbx_answered(150, "pbx_answered", *pbx_answered);
        if *pbx_is_silent {
            report.warning(PBX_IS_SILENT);
        }
        for known in first.iter().filter(|known| is_trunk(known)).take(MAX_LINES) {
            let ago = show_span(report.now().since(known.seen));
            let KnownPeer { peer, .. } = known;
            report.line(
                80,
                format!("trunk     {}: {}, most recently {ago} ago", peer.address, did(peer.by)),
            );
        }
        if *count > 0 {
            report.line(81, format!("peers     {count} known from this host's own requests (see \"nightlatch peer list\")"));
        }
    }

    fn about(reply: &Reply, about: &mut About) {
        let Reply::Known(known) = reply else { return };
        about.field_unless_empty(110, "known", known);
    }

    fn audited(record: &Record, value: &Value) -> Option<String> {
        let known = Vec::<KnownPeer>::deserialize(value).ok()?;
        (record.action == "forget").then(|| {
            let told = known.iter().map(|KnownPeer { peer, .. }| match peer.port {
                0 => did(peer.by).to_owned(),
                port => format!("port {port}, {}", did(peer.by)),
            });
            told.collect::<Vec<String>>().join("; ")
        })
    }
}

/// What `status` warns of if the PBX does not answer.
const PBX_IS_SILENT: &str = "the PBX does not answer the daemon: phones registered without an account, and trunks over TCP, are not detected; check that its console answers: asterisk -rx \"core show version\", or kamcmd core.version";

/// Whether this host is registered there.
fn is_trunk(known: &KnownPeer) -> bool {
    matches!(known.peer.by, LearnedBy::Registered | LearnedBy::RegisteredByTcp)
}
