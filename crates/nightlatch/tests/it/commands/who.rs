//! `who`: reverse names of a real resolver, of one that lies, and of none.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Stdio};
use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan};

use crate::support::{self, Installation, now};

/// A name server in a host, until it is dropped.
struct Resolver(Child);

impl Resolver {
    fn in_host(host: &Host, records: &[&str]) -> Resolver {
        let mut command = host.command("dnsmasq");
        command
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv"])
            .args(["--user=root", "--pid-file=", "--cache-size=0", "--local=/#/"])
            .args(records)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Resolver(command.spawn().unwrap())
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server, its name servers in `/etc/resolv.conf`.
fn ask(server: &Host, resolvers: &[&str]) {
    let lines: String = resolvers.iter().map(|it| format!("nameserver {it}\n")).collect();
    let script = format!(
        "rm -f /etc/resolv.conf; printf '{lines}' > /etc/resolv.conf;
         echo 'hosts: files dns' > /etc/nsswitch.conf"
    );
    assert!(server.command("sh").args(["-ec", &script]).status().unwrap().success());
}

fn plan() -> Plan {
    let plan = Plan::standard().without("office").without("traveller").with_resolver();
    plan.change("server", |server| server.with_copy("/etc"))
}

#[test]
fn reverse_names_are_confirmed() {
    if !support::installed(&["nft", "dnsmasq"]) {
        return;
    }
    let Some(stage) = support::stage(&plan()) else {
        return;
    };
    let (server, resolver) = (stage.host("server").unwrap(), stage.host("resolver").unwrap());
    ask(server, &[&resolver.v4().to_string()]);
    let dnsmasq = Resolver::in_host(
        resolver,
        &[
            "--host-record=true.example.net,203.0.113.7,2001:db8:2::7",
            "--ptr-record=8.113.0.203.in-addr.arpa,true.example.net",
            "--ptr-record=9.113.0.203.in-addr.arpa,nowhere.example.net",
        ],
    );
    let nightlatch = Installation::on(server);
    let _daemon = nightlatch.daemon();
    let reverse = |address: &str| {
        let output = nightlatch.command(&["who", address, "--json"]).output().unwrap();
        let who: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        who["reverse"].clone()
    };
    support::wait_until("the resolver answers", Duration::from_secs(5), || {
        reverse("203.0.113.7")["failure"].is_null()
    });
    let named = |name: &str, leads_back: bool| serde_json::json!({ "names": [{ "name": name, "leads_back": leads_back }], "failure": null });
    assert_eq!(reverse("203.0.113.7"), named("true.example.net", true));
    assert_eq!(reverse("2001:db8:2::7"), named("true.example.net", true));
    assert_eq!(reverse("203.0.113.8"), named("true.example.net", false), "somebody else's name");
    assert_eq!(reverse("203.0.113.9"), named("nowhere.example.net", false));
    assert_eq!(reverse("203.0.113.10")["names"], serde_json::json!([]));
    let words = nightlatch.must_exit(1, &["who", "203.0.113.8"]);
    assert!(words.contains("true.example.net (leads elsewhere)"), "{words}");
    assert!(words.contains("proves nothing"), "{words}");
    // The first server is dead, the second answers: still within the time. The C library waits longer
    // for the first one, so the name is not confirmed.
    ask(server, &["198.51.100.99", &resolver.v4().to_string()]);
    let started = now();
    let names = reverse("203.0.113.7")["names"].clone();
    assert_eq!(names, serde_json::json!([{ "name": "true.example.net", "leads_back": null }]));
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    drop(dnsmasq);
    // None answers: the rest is told all the same.
    nightlatch.must(&["allow", "office", "203.0.113.7"]);
    let started = now();
    let words = nightlatch.must(&["who", "203.0.113.7"]);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert!(words.contains("reverse   unknown") && words.contains("account   office"), "{words}");
}

/// Answers that could rewrite a terminal, or lead nowhere.
#[test]
fn a_hostile_name_server_writes_nothing_on_the_screen() {
    if !support::installed(&["nft"]) {
        return;
    }
    let Some(stage) = support::stage(&plan()) else {
        return;
    };
    let (server, resolver) = (stage.host("server").unwrap(), stage.host("resolver").unwrap());
    ask(server, &[&resolver.v4().to_string()]);
    let at = SocketAddr::new(resolver.v4(), 53);
    let socket = resolver.run(|| UdpSocket::bind(at)).unwrap().unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let nightlatch = Installation::on(server);
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["allow", "office", "203.0.113.7"]);
    for label in [&b"\x1b[2Jevil"[..], b"a b", b"\n\nverdict: allowed", b"\xff\xfe"] {
        let (mut buffer, answered) = ([0; 1500], &socket);
        let answer = move || {
            let (length, peer) = answered.recv_from(&mut buffer).unwrap();
            // The question without its options, then one record.
            let question = &buffer[..length - 11];
            let mut packet = question.to_vec();
            packet[2..4].copy_from_slice(&[0x81, 0x80]);
            packet[6..12].copy_from_slice(&[0, 1, 0, 0, 0, 0]);
            packet.extend([0xc0, 12, 0, 12, 0, 1, 0, 0, 0, 60]);
            let length = u8::try_from(label.len()).unwrap();
            packet.extend([0, length + 2, length]);
            packet.extend(label);
            packet.push(0);
            answered.send_to(&packet, peer).unwrap();
        };
        let output = std::thread::scope(|scope| {
            let answering = scope.spawn(answer);
            let output = nightlatch.command(&["who", "203.0.113.7"]).output().unwrap();
            answering.join().unwrap();
            output
        });
        let words = String::from_utf8(output.stdout).unwrap();
        assert!(words.contains("reverse   unknown"), "{words:?}");
        assert!(!words.contains('\x1b') && !words.contains("evil") && !words.contains("verdict"));
        assert_eq!(words.lines().filter(|line| line.starts_with("account")).count(), 1, "{words}");
    }
}
