//! `why`: every reason there is, for every kind of packet.

use std::net::UdpSocket;
use std::time::Duration;

use super::ground::{installation, stage};
use super::transcript::Transcript;
use crate::support::{ASTERISK, wait_until};

#[test]
fn accounts_blocks_and_denials() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let _daemon = nightlatch.daemon();
    let mut to = Transcript::new("why", &nightlatch);
    to.about("while the firewall is off");
    to.both("why 203.0.113.7");
    to.both("why 203.0.113.7 --to udp/5060");
    nightlatch.must(&["up", "--yes"]);
    to.about("nobody in particular");
    to.both("why 192.0.2.1");
    to.both("why 192.0.2.1 --to tcp/22");
    to.both("why 192.0.2.1 --to udp/5060");
    to.all(&[
        "why 2001:db8:66::1",
        "why 2001:db8:66::1 --to udp/12000",
        "why 192.0.2.1 --to udp/9",
    ]);
    to.both("why ::1");
    to.all(&["why 127.0.0.1 --to udp/5060", "why 198.51.100.1", "why 0.0.0.0", "why 224.0.0.5"]);
    to.about("accounts");
    nightlatch.must(&["allow", "office", "203.0.113.0/29", "--services", "sip,ping"]);
    nightlatch.must(&["allow", "boss", "203.0.113.7", "--for", "90m"]);
    nightlatch.must(&["allow", "calls", "203.0.113.4/30", "--services", "iax,sip"]);
    to.both("why 203.0.113.1");
    to.both("why 203.0.113.1 --to tcp/22");
    to.both("why 203.0.113.1 --to 5060/udp");
    to.all(&["why ::ffff:203.0.113.1 --to udp/5060", "why 203.0.113.1 --to tcp/80 --json"]);
    to.both("why 203.0.113.7");
    to.all(&["why 203.0.113.7 --to udp/5060", "why 203.0.113.7 --to tcp/22", "why 203.0.113.4"]);
    to.all(&["why 203.0.113.4 --to udp/4569", "why 203.0.113.4 --to udp/12000"]);
    to.all(&["why 203.0.113.4 --to tcp/443", "why 203.0.113.1 --to udp/4569"]);
    to.about("blocks");
    nightlatch.must(&["block", "203.0.113.6", "--reason", "guesses"]);
    nightlatch.must(&["block", "203.0.113.0/24", "--for", "2d"]);
    nightlatch.must(&["block", "2001:db8:66::/48"]);
    to.both("why 203.0.113.6");
    to.both("why 203.0.113.6 --to udp/5060");
    to.both("why 203.0.113.200");
    to.all(&["why 203.0.113.1", "why 203.0.113.1 --to tcp/22", "why 2001:db8:66::66"]);
    to.about("a removed account is denied");
    nightlatch.must(&["allow", "phone", "192.0.2.60"]);
    nightlatch.must(&["allow", "pages", "192.0.2.60", "--services", "web"]);
    nightlatch.must(&["remove", "phone"]);
    to.both("why 192.0.2.60 --to udp/5060");
    to.all(&["why 192.0.2.60", "why 192.0.2.60 --to tcp/80", "why 192.0.2.60 --to tcp/22"]);
    nightlatch.must(&["remove", "pages"]);
    to.both("why 192.0.2.60");
    to.all(&["why 192.0.2.60 --to udp/12000", "why 192.0.2.60 --to tcp/9"]);
    to.finish();
}

#[test]
fn mode_open() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    nightlatch.configure(&format!(
        "media = \"any\"\n{ASTERISK}[open]\nservices = [\"sip\", \"web\", \"gate\"]\n[services]\ngate = [\"tcp/7000\"]\n"
    ));
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    let mut to = Transcript::new("why_open", &nightlatch);
    to.about("media from everybody, in mode allowlist");
    to.both("why 192.0.2.1 --to udp/12000");
    to.all(&["why 192.0.2.1", "why 192.0.2.1 --to udp/5060"]);
    nightlatch.must(&["mode", "open"]);
    to.about("in mode open");
    to.both("why 192.0.2.1");
    to.both("why 192.0.2.1 --to udp/5060");
    to.all(&["why 192.0.2.1 --to tcp/80", "why 192.0.2.1 --to tcp/7000"]);
    to.both("why 192.0.2.1 --to tcp/22");
    to.about("with an account for something else");
    nightlatch.must(&["allow", "shell", "192.0.2.1", "--services", "ssh"]);
    to.all(&["why 192.0.2.1", "why 192.0.2.1 --to tcp/22", "why 192.0.2.1 --to tcp/80"]);
    to.run("why 192.0.2.1 --to udp/4569");
    to.finish();
}

/// What this host sent makes peers known: the other end need not be there.
#[test]
fn known_peers() {
    let Some(stage) = stage() else { return };
    let nightlatch = installation(&stage);
    let _daemon = nightlatch.daemon();
    let server = stage.host("server").unwrap();
    let mut to = Transcript::new("peers", &nightlatch);
    to.about("none");
    to.both("peer list");
    nightlatch.must(&["up", "--yes"]);
    to.both("peer list");
    to.both("peer forget 192.0.2.166");
    server
        .run(|| {
            let sip = UdpSocket::bind("198.51.100.1:5060").unwrap();
            for (request, target) in [
                ("REGISTER sip:192.0.2.166 SIP/2.0\r\n\r\n", "192.0.2.166:5060"),
                ("INVITE sip:1@192.0.2.167 SIP/2.0\r\n\r\n", "192.0.2.167:5062"),
                ("OPTIONS sip:192.0.2.168 SIP/2.0\r\n\r\n", "192.0.2.168:5060"),
            ] {
                sip.send_to(request.as_bytes(), target).unwrap();
            }
            let sip = UdpSocket::bind("[2001:db8:1::1]:5060").unwrap();
            let request = "REGISTER sip:2001:db8:66::66 SIP/2.0\r\n\r\n";
            sip.send_to(request.as_bytes(), "[2001:db8:66::66]:5060").unwrap();
        })
        .unwrap();
    wait_until("they are known", Duration::from_secs(10), || {
        nightlatch.json(&["peer", "list"])["count"] == 4
    });
    to.about("of every kind");
    to.both("peer list");
    to.both("status");
    to.all(&["why 192.0.2.168 --to udp/5060", "why 192.0.2.168", "peer forget 192.0.2.168 --json"]);
    to.both("why 192.0.2.166");
    to.both("why 192.0.2.166 --to udp/5060");
    to.all(&["why 192.0.2.167", "why 192.0.2.167 --to udp/5060", "peer list"]);
    to.run("why 2001:db8:66::66 --to udp/5060");
    to.all(&["why 192.0.2.166 --to udp/4569", "why 192.0.2.166 --to tcp/5060"]);
    to.about("a trunk stays when its account is removed, and a block ends it");
    to.all(&["allow carrier 192.0.2.166 192.0.2.167 --services sip", "remove carrier"]);
    to.all(&["why 192.0.2.166 --to udp/5060", "why 192.0.2.167 --to udp/5060"]);
    to.all(&["block 192.0.2.166", "why 192.0.2.166 --to udp/5060", "unblock 192.0.2.166"]);
    to.about("forgotten");
    to.all(&["peer forget 192.0.2.166", "peer forget 2001:db8:66::66"]);
    to.both("peer list");
    to.finish();
}
