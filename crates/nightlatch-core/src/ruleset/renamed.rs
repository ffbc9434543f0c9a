//! The chains of older versions that are called otherwise now.

/// Each chain that was renamed: its name in older versions, then the present one.
///
/// An update renames them in the kernel's table before anything else, in one transaction: rules and
/// elements that lead to a chain, and its hook, are not touched by that, so that no packet meets a table
/// without one of its base chains.
pub const RENAMED_CHAINS: [(&str, &str); 27] = [
    ("guard_signalling", "raw_signalling"),
    ("guard_udp", "raw_udp"),
    ("guard", "raw_prerouting"),
    ("unless_closed_signalling", "raw_drop_closed_signalling"),
    ("unless_closed_udp", "raw_drop_closed_udp"),
    ("sending_unless_closed", "output_drop_closed"),
    ("published_unless_closed", "published_drop_closed"),
    ("unless_closed", "raw_drop_closed"),
    ("gate", "prerouting"),
    ("late_signalling", "input_signalling"),
    ("late", "input"),
    ("sending_quietly", "output_drop_errors"),
    ("sending", "output"),
    ("answers", "output_tcp_replies"),
    ("leaving", "postrouting"),
    ("running", "established"),
    ("ended", "cut_flows"),
    ("accepted", "established_accepted"),
    ("fresh", "to_this_host"),
    ("judged", "accounts"),
    ("listed", "blocklisted"),
    ("admission", "open_services"),
    ("admitted_ping", "strangers_ping"),
    ("admitted", "strangers_new_flows"),
    ("to_nobody", "to_discard_port"),
    ("request_of_peer", "peer_request"),
    ("response_of_peer", "peer_response"),
];

/// What a chain was called in older versions.
pub fn old_name(chain: &str) -> Option<&'static str> {
    RENAMED_CHAINS.iter().find(|(_, now)| *now == chain).map(|(old, _)| *old)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ruleset::{Structure, render};

    #[test]
    fn no_name_has_two_meanings() {
        let old: BTreeSet<_> = RENAMED_CHAINS.iter().map(|(old, _)| old).collect();
        let new: BTreeSet<_> = RENAMED_CHAINS.iter().map(|(_, new)| new).collect();
        assert_eq!((old.len(), new.len()), (RENAMED_CHAINS.len(), RENAMED_CHAINS.len()));
        assert!(old.is_disjoint(&new));
        let text = render(&Structure::default());
        for name in old {
            assert!(!text.contains(&format!("chain {name} {{")), "{name} is made again");
        }
        assert!(text.contains(&format!("chain {} {{", RENAMED_CHAINS[2].1)), "{text}");
    }
}
