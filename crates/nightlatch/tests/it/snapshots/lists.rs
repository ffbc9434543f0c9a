//! What the tests of feeds and countries have in common: mode open, a table of countries, files.

use nightlatch_lab::stage::Stage;

use super::ground::installation;
use super::server::{Running, Server};
use crate::support::ASTERISK;

/// A table of countries in which documentation networks stand for China, Germany and the USA.
pub(super) const TABLE: &str = "\
192.0.2.0,192.0.2.127,DE
192.0.2.128,192.0.2.255,CN
203.0.113.0,203.0.113.255,US
2001:db8:3::,2001:db8:3:ffff:ffff:ffff:ffff:ffff,DE
2001:db8:66::,2001:db8:66:ffff:ffff:ffff:ffff:ffff,CN
";
pub(super) const LIST: &str = "# bad people\n192.0.2.161\n192.0.2.168/29\n2001:db8:66::/48\n";

/// The program in mode open, with SSH open to everybody.
pub(super) fn open(stage: &Stage) -> (Server<'_>, Running) {
    let nightlatch = installation(stage);
    write(&nightlatch, "table.csv", TABLE);
    configure(&nightlatch, "table.csv");
    let daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    nightlatch.must(&["mode", "open"]);
    (nightlatch, daemon)
}

/// Takes another table of countries.
pub(super) fn configure(nightlatch: &Server<'_>, table: &str) {
    nightlatch.configure(&format!(
        "{ASTERISK}[countries]\nsource = \"{}\"\n[open]\nservices = [\"sip\", \"ssh\"]\n",
        nightlatch.directory().join(table).display()
    ));
}

/// Writes a file in the folder of the installation.
pub(super) fn write(nightlatch: &Server<'_>, name: &str, text: impl AsRef<[u8]>) {
    std::fs::write(nightlatch.directory().join(name), text).unwrap();
}
