//! Ranges without some of their addresses.

use super::*;

#[test]
fn ranges_without_addresses() {
    let check = |range: &str, addresses: &[&str], expected: &[&str]| {
        let addresses = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let left: Vec<String> =
            without(range.parse().unwrap(), &addresses).iter().map(ToString::to_string).collect();
        assert_eq!(left, expected, "{range} {addresses:?}");
    };
    check("203.0.113.0/30", &[], &["203.0.113.0/30"]);
    check("203.0.113.0/30", &["203.0.113.9"], &["203.0.113.0/30"]);
    check("203.0.113.7", &["203.0.113.7"], &[]);
    check("203.0.113.0/30", &["203.0.113.0"], &["203.0.113.1-203.0.113.3"]);
    check("203.0.113.0/30", &["203.0.113.3", "203.0.113.1"], &["203.0.113.0", "203.0.113.2"]);
    check("::/0", &["::1"], &["::", "::2-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]);
    let last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    check(&format!("{last}/128"), &[last], &[]);
}
