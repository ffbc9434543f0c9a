//! The lists that there are in the world, as they are published, by the real command.

use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::support::wait_until;

/// What a list looks like, the options to read it, and the entries it must give.
const LISTS: [(&str, &str, &[&str], &[&str]); 9] = [
    (
        "apiban",
        "{\"ipaddress\":[\"192.0.2.1\",\"192.0.2.3\"],\"ID\":\"1700000000\"}",
        &[],
        &["192.0.2.1", "192.0.2.3"],
    ),
    ("voipbl", "# VoIPBL\n192.0.2.1/32\n198.18.7.0/24\n", &[], &["192.0.2.1", "198.18.7.0/24"]),
    (
        "blocklist-de",
        "192.0.2.1\n2001:db8:66::1\n192.0.2.9\n",
        &[],
        &["192.0.2.1", "192.0.2.9", "2001:db8:66::1"],
    ),
    (
        "drop-json",
        "{\"cidr\":\"198.18.0.0/17\",\"sblid\":\"SBL1\",\"rir\":\"apnic\"}\n{\"type\":\"metadata\",\"timestamp\":1767225600,\"size\":98,\"records\":1,\"copyright\":\"(c)\",\"terms\":\"https://x.example\"}\n",
        &["--format", "json:cidr"],
        &["198.18.0.0/17"],
    ),
    (
        "drop-text",
        "; Spamhaus DROP List\n; Expires: never\n198.18.0.0/17 ; SBL1\n",
        &[],
        &["198.18.0.0/17"],
    ),
    (
        "firehol",
        "#\n# firehol_level1\n#\n# Maintainer : FireHOL\n#\n198.18.4.0/22\n192.0.2.7\n",
        &[],
        &["192.0.2.7", "198.18.4.0/22"],
    ),
    (
        "dshield",
        "# DShield\nStart\tEnd\tNetmask\tAttacks\n198.18.9.0\t198.18.9.255\t24\t1234\tX\tUS\tx@x.example\n",
        &["--format", "plain"],
        &["198.18.9.0/24"],
    ),
    (
        "csv",
        "when,who,what\n2026-01-01,\"192.0.2.1\",\"scan, \"\"sip\"\"\"\n2026-01-02,192.0.2.3,x\n",
        &["--format", "csv:who"],
        &["192.0.2.1", "192.0.2.3"],
    ),
    (
        "json",
        "{\"a\":[{\"b\":{\"net\":\"192.0.2.4/30\"}},{\"b\":{\"net\":\"2001:db8:66::/48\"}}],\"net\":\"192.0.2.99\"}",
        &["--format", "json:a[].b.net"],
        &["192.0.2.4/30", "2001:db8:66::/48"],
    ),
];

#[test]
fn the_lists_of_the_world() {
    let Some(stage) = stage() else {
        return;
    };
    let (nightlatch, _daemon) = open(&stage, "");
    let file = nightlatch.directory().join("list");
    for (name, content, options, expected) in LISTS {
        let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
        packer.write_all(content.as_bytes()).unwrap();
        // As it is, and as a packed file.
        for bytes in [content.as_bytes().to_vec(), packer.finish().unwrap()] {
            std::fs::write(&file, bytes).unwrap();
            let arguments = [&["feed", "add", name, file.to_str().unwrap()], options].concat();
            nightlatch.must(&arguments);
            let kept = nightlatch.state().join(format!("lists/{name}.list"));
            // It is kept beside the change, not before its answer.
            wait_until("the list is kept", Duration::from_secs(10), || kept.exists());
            let kept = std::fs::read_to_string(kept).unwrap();
            assert_eq!(kept.lines().skip(1).collect::<Vec<_>>(), expected, "{name}");
            nightlatch.must(&["feed", "remove", name]);
        }
    }
}
