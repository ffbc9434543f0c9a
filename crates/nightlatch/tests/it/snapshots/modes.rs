//! `mode`, `services`, `check`, `reload`.

use super::ground::{installation, stage};
use super::transcript::Transcript;
use crate::support::ASTERISK;

#[test]
fn modes() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let _daemon = nightlatch.daemon();
    let mut to = Transcript::new("modes", &nightlatch);
    to.about("while the firewall is off");
    to.both("mode");
    to.both("services");
    to.all(&["mode open", "mode allowlist"]);
    nightlatch.must(&["up", "--yes"]);
    to.about("there and back");
    to.all(&["mode open", "mode open", "mode", "services"]);
    to.all(&["mode whitelist", "mode allowlist", "mode open --json", "mode allowlist --json"]);
    to.all(&["mode closed", "mode closed --json"]);
    to.about("with other services open");
    nightlatch.configure(&format!(
        "{ASTERISK}[open]\nservices = [\"ssh\", \"gate\"]\n[services]\ngate = [\"tcp/7000-7009\", \"udp/7000\"]\n"
    ));
    to.all(&["reload", "mode open"]);
    to.both("services");
    to.about("whoever comes by an open service cannot close it");
    to.from("192.0.2.20", "mode allowlist");
    to.from("192.0.2.20", "mode allowlist --json");
    to.from("192.0.2.20", "mode allowlist --force");
    to.finish();
}

/// A configuration and what is wrong with it.
const MISTAKES: [(&str, &str); 17] = [
    ("no such service", "[open]\nservices = [\"sip\", \"spi\"]\n"),
    (
        "no such service of this product",
        "[pbx]\nproduct = \"kamailio\"\n[open]\nservices = [\"iax\"]\n",
    ),
    ("no such product", "[pbx]\nproduct = \"asterix\"\n"),
    ("no such table", "[opne]\nservices = [\"sip\"]\n"),
    ("no such key", "[open]\nservice = [\"sip\"]\n"),
    ("no port", "[services]\nsip = [\"5060\"]\n"),
    ("no range of ports", "[services]\ndoor = [\"udp/10-9\"]\n"),
    ("no name of a service", "[services]\n\"s p\" = [\"udp/10\"]\n"),
    ("no rate", "[open]\ntotal = { packets = 0, burst = 1 }\n"),
    ("no rate for one", "[open]\nper-source = { packets = 5, burst = 2000000 }\n"),
    ("no source", "[countries]\nsource = \"geoip\"\n"),
    ("no sources", "[countries]\nsource = []\n"),
    ("no text", "[countries]\nsource = 7\n"),
    ("no media", "media = \"some\"\n"),
    ("no TOML", "[open\nservices = 1\n"),
    ("no end", "media = \"any\n"),
    ("twice", "[open]\n[open]\n"),
];

#[test]
fn configurations() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    let mut to = Transcript::new("configurations", &nightlatch);
    to.about("good");
    to.both("check");
    to.both("reload");
    nightlatch.configure("[open]\nservices = []\n");
    to.both("check");
    std::fs::remove_file(nightlatch.config()).unwrap();
    to.both("check");
    to.all(&["check DIR/nowhere.toml", "check nowhere.toml --json"]);
    std::fs::write(nightlatch.directory().join("other.toml"), "media = \"any\"\n").unwrap();
    to.both("check other.toml");
    for (what, text) in MISTAKES {
        to.about(what);
        nightlatch.configure(text);
        to.run("check");
    }
    to.about("refused as a whole");
    to.all(&["check --json", "reload", "reload --json", "up --yes", "up --plan --json"]);
    std::fs::remove_file(nightlatch.config()).unwrap();
    std::fs::create_dir(nightlatch.config()).unwrap();
    to.all(&["check", "reload"]);
    std::fs::remove_dir(nightlatch.config()).unwrap();
    nightlatch.configure(&"#".repeat((1 << 20) + 1));
    to.all(&["check", "reload"]);
    to.about("one that would shut its caller out");
    nightlatch.configure(&format!("{ASTERISK}[open]\nservices = [\"sip\", \"ssh\"]\n"));
    to.all(&["reload", "mode open"]);
    nightlatch.configure(ASTERISK);
    to.from("192.0.2.20", "reload");
    to.from("192.0.2.20", "reload --json");
    to.run("reload");
    to.about("a daemon does not begin with it");
    nightlatch.configure("[open]\nservices = [\"spi\"]\n");
    drop(daemon);
    to.all(&["daemon", "boot"]);
    to.finish();
}
