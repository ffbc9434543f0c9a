//! `provider`, `who`, and what `why`, `list`, `status` and `log` say of providers.

use super::ground::{installation, stage};
use super::lists::{configure, write};
use super::transcript::Transcript;

#[test]
fn providers() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    configure(&nightlatch, "table.csv");
    write(&nightlatch, "table.csv", "54.172.0.0,54.172.255.255,US\n192.0.2.0,192.0.2.255,CN\n");
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    let mut to = Transcript::new("providers", &nightlatch);
    to.about("none is enabled");
    to.both("provider show twilio");
    to.all(&["provider show ipkall", "provider show gamma", "provider show nobody"]);
    to.all(&["provider show twillio --json", "provider show no/name"]);
    to.about("what is refused");
    to.both("provider enable callcentric");
    to.both("provider enable ipkall");
    to.all(&["provider enable google-voice-xmpp --force", "provider enable gamma --force"]);
    to.all(&["provider enable twillio", "provider disable twilio", "provider disable nobody"]);
    to.about("enabled");
    to.run("provider enable twilio");
    to.run("provider enable easybell --json");
    to.all(&["provider enable twilio", "provider enable aaisp", "provider enable aaisp --force"]);
    to.both("provider show easybell");
    to.run("provider list");
    to.both("list");
    to.both("status");
    to.about("its addresses");
    to.both("why 54.172.60.1 --to udp/5060");
    to.all(&["why 54.172.60.1", "why 54.172.60.1 --to tcp/22", "why 168.86.128.1"]);
    to.both("who 54.172.60.1 --no-dns");
    to.all(&[
        "who 168.86.128.1 --no-dns",
        "who 192.0.2.7 --no-dns",
        "who 192.0.2.7 --no-dns --json",
    ]);
    to.about("together with accounts, blocks and lists");
    nightlatch.must(&["allow", "office", "54.172.60.1", "--services", "web"]);
    write(&nightlatch, "bad.txt", "54.172.60.0/30\n192.0.2.7\n");
    to.run("feed add bad DIR/bad.txt");
    to.all(&["block 54.172.0.0/16", "block 54.172.60.2"]);
    to.both("who 54.172.60.1 --no-dns");
    to.all(&["who 54.172.60.2 --no-dns", "who 192.0.2.7 --no-dns", "why 54.172.60.1 --to tcp/22"]);
    to.all(&["who", "who 192.0.2.0/24", "who nobody"]);
    nightlatch.must(&["unblock", "54.172.0.0/16"]);
    to.about("disabled");
    to.run("provider disable twilio");
    to.run("provider disable easybell --json");
    to.all(&["provider disable aaisp", "provider disable twilio"]);
    to.all(&["who 54.172.60.1 --no-dns", "log"]);
    to.finish();
}
