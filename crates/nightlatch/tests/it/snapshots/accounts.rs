//! `allow`, `remove`, `list`, `show`, `block`, `unblock`.

use super::ground::{installation, stage};
use super::transcript::Transcript;

#[test]
fn accounts() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let _daemon = nightlatch.daemon();
    let mut to = Transcript::new("accounts", &nightlatch);
    to.about("while the firewall is off");
    to.both("list");
    to.all(&["allow early 203.0.113.5 --services web", "remove early"]);
    nightlatch.must(&["up", "--yes"]);
    to.about("one after the other");
    to.all(&[
        "allow office 203.0.113.7",
        "allow fax 203.0.113.8,203.0.113.9 2001:db8::/64 --services sip,WEB --for 8h --note \"the fax, =1+1\"",
        "allow tls 192.0.2.60 --services sip-tls --json",
        "whitelist joe 192.0.2.1-192.0.2.9 --json",
        "allow named office.example.net 192.0.2.33 --services ssh --for 90m",
        "allow many 192.0.2.11 192.0.2.13 192.0.2.15 192.0.2.17 192.0.2.19 192.0.2.21 192.0.2.23",
        "allow mapped ::ffff:192.0.2.44 --services ping",
        "allow all 203.0.113.200 --services all,sip",
    ]);
    to.both("list");
    for name in ["fax", "named", "many"] {
        to.both(&format!("show {name}"));
    }
    to.about("with blocks over and under them");
    to.all(&["block 203.0.113.8", "block 192.0.2.11"]);
    to.all(&[
        "allow twin 203.0.113.8",
        "allow wide 192.0.2.0/28 203.0.113.8",
        "unblock 203.0.113.8",
        "unblock 192.0.2.11",
        "remove wide",
    ]);
    to.about("refused");
    to.both("allow office 203.0.113.8");
    to.both("show nobody");
    to.both("remove nobody");
    to.all(&[
        "allow trap trap.example.net",
        "allow lost nowhere.example.net",
        "allow lost 203.0.113.1 nowhere.example.net",
        "allow x 203.0.113.1 --services spi,webb",
        "allow x 203.0.113.1 --services spi --json",
        "allow x 0.0.0.0/0",
        "allow x ::/1",
        "allow x 127.0.0.1",
        "allow x 224.0.0.1",
        "allow x ::1",
        "allow x 0.0.0.0",
    ]);
    to.about("whoever comes by an account cannot remove it");
    to.from("203.0.113.7", "remove office");
    to.from("203.0.113.7", "remove office --json");
    to.from("203.0.113.7", "allow second 203.0.113.0/28 --services ssh");
    to.from("203.0.113.7", "show second");
    to.from("203.0.113.7", "remove office");
    to.from("203.0.113.7", "remove second");
    to.from("203.0.113.7", "remove second --force");
    to.about("changed");
    to.all(&[
        "account add joe 203.0.113.31 203.0.113.0/28 --json",
        "account add joe 203.0.113.31 203.0.113.32",
        "account drop joe 203.0.113.31 203.0.113.32",
        "account drop joe 203.0.113.33",
        "account set joe --services sip,ssh --note moved",
        "account set joe --services sip --rename joey --until never",
        "account set joey --services sip",
        "account set joey",
        "account add joey 10.0.0.0/8",
        "remove joe",
        "account set joey --rename joe",
    ]);
    to.about("exempt");
    to.all(&[
        "exempt list",
        "exempt add doctor 203.0.113.40 2001:db8:2::40",
        "exempt add doctor 203.0.113.40 --json",
        "exempt add wide 203.0.0.0/15",
        "exempt remove docter",
        "exempt remove doctor 203.0.113.41",
        "why 203.0.113.40",
        "status",
    ]);
    to.both("exempt list");
    to.both("list");
    to.all(&["exempt remove doctor 203.0.113.40", "exempt remove doctor", "log"]);
    to.about("removed");
    to.all(&["remove joe", "remove fax --json", "remove many"]);
    to.both("list");
    to.finish();
}

#[test]
fn blocks() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let _daemon = nightlatch.daemon();
    let mut to = Transcript::new("blocks", &nightlatch);
    to.about("while the firewall is off");
    to.all(&["block 192.0.2.9", "unblock 192.0.2.9"]);
    nightlatch.must(&["up", "--yes"]);
    nightlatch.must(&["allow", "office", "203.0.113.7"]);
    nightlatch.must(&["allow", "fax", "203.0.113.8", "--services", "sip"]);
    nightlatch.must(&["allow", "both", "203.0.113.64/30", "203.0.113.128/25"]);
    to.about("one after the other");
    to.all(&[
        "block 192.0.2.9",
        "block 203.0.113.0/24 --for 7d --reason scan",
        "block 203.0.113.64/26 --json",
        "blacklist 203.0.113.8 --reason \"guesses: \u{202e}1001\"",
        "block 2001:db8:66::/48 --for 1h30m --json",
        "block 192.0.2.9 --for 1d --reason again",
        "block 192.0.2.32-192.0.2.47",
    ]);
    to.both("list");
    to.about("refused");
    to.both("block 198.51.100.1");
    to.all(&[
        "block 198.51.100.254",
        "block 198.51.100.0/24",
        "block 198.51.100.53",
        "block 2001:db8:1::fe",
        "block 127.0.0.1",
        "block 127.0.0.0/8 --force",
        "block ::1",
        "block fe80::1",
        "block 169.254.1.1",
        "block 239.0.0.1",
        "block 0.0.0.0/1",
        "block ::/3 --json",
    ]);
    to.both("unblock 203.0.113.9");
    to.all(&["unblock 203.0.112.0/22", "unblock 192.0.2.77"]);
    to.from("203.0.113.7", "block 203.0.113.7");
    to.from("203.0.113.7", "block 203.0.113.7 --json");
    to.about("by force");
    to.from("203.0.113.7", "block 203.0.113.7 --force");
    to.all(&["block 198.51.100.53 --force", "block 198.51.100.254 --force --json"]);
    to.all(&["unblock 198.51.100.53", "unblock 198.51.100.254 --json", "unblock 203.0.113.7"]);
    to.both("list");
    to.finish();
}
