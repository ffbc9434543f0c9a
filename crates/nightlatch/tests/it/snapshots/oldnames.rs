//! The old names and their menus.

use super::ground::{installation, stage};
use super::transcript::Transcript;
use crate::support;

#[test]
fn old_names() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let mut to = Transcript::new("old_names", &nightlatch);
    to.about("without a daemon");
    to.called("add-ip", "office 203.0.113.7");
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    to.about("as a script calls them");
    for (name, lines) in [
        ("add-ip", &["office 203.0.113.7", "office 203.0.113.7", "net 2001:db8::/64"][..]),
        (
            "add-ip",
            &["", "office", "office 203.0.113.7 all", "x 203.0.113.300", "\"a b\" 203.0.113.7"],
        ),
        ("add-fqdn", &["", "branch office.example.net", "lost nowhere.example.net"]),
        ("add-blacklist", &["203.0.113.9", "", "x", "127.0.0.1"]),
        ("iptables-restart", &["", "now"]),
        ("del-acct", &["office.iptables", "net", "net", "a b", ""]),
    ] {
        lines.iter().for_each(|line| to.called(name, line));
    }
    to.finish();
}

#[test]
fn at_a_terminal() {
    if !support::installed(&["script"]) {
        return;
    }
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    let mut to = Transcript::new("old_names_at_a_terminal", &nightlatch);
    to.typed("add-ip", "sip 203.0.113.7", "1,4\n");
    to.typed("add-ip", "every 203.0.113.8", "\n");
    to.typed("add-ip", "none 203.0.113.9", "1,11\n");
    to.typed("add-fqdn", "branch office.example.net", "3 8\n");
    to.typed("del-acct", "", "every.iptables\n");
    to.typed("del-acct", "", "\n");
    to.typed("nightlatch", "down", "\n");
    to.typed("nightlatch", "down", "yes\n");
    to.finish();
}
