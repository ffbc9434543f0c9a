//! Host names in commands, asked of a real resolver.

use std::process::{Child, Stdio};
use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan};

use crate::support::{self, Installation};

/// A name server in a host, until it is dropped.
struct Resolver(Child);

impl Resolver {
    fn in_host(host: &Host, records: &[&str]) -> Resolver {
        let mut command = host.command("dnsmasq");
        command
            .args(["--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts", "--no-resolv"])
            .args(["--user=root", "--pid-file=", "--local=/example.net/", "--cache-size=0"])
            .args(records.iter().map(|record| format!("--host-record={record}")))
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

#[test]
fn host_names_in_commands() {
    if !support::installed(&["nft", "dnsmasq"]) {
        return;
    }
    let plan = Plan::standard().without("office").without("traveller").with_resolver();
    let plan = plan.change("server", |server| server.with_copy("/etc"));
    let Some(stage) = support::stage(&plan) else {
        return;
    };
    let server = stage.host("server").unwrap();
    let resolver = stage.host("resolver").unwrap();
    let script = format!(
        "rm -f /etc/resolv.conf; echo 'nameserver {}' > /etc/resolv.conf;
         echo 'hosts: files dns' > /etc/nsswitch.conf",
        resolver.v4()
    );
    assert!(server.command("sh").args(["-ec", &script]).status().unwrap().success());
    let dnsmasq = Resolver::in_host(
        resolver,
        &[
            "office.example.net,203.0.113.7,2001:db8:2::7",
            "four.example.net,203.0.113.8",
            "six.example.net,2001:db8:2::8",
            "trap.example.net,127.0.0.1",
            "trap6.example.net,::1",
            "none.example.net,0.0.0.0",
            "mixed.example.net,127.0.0.1",
            "mixed.example.net,203.0.113.9",
        ],
    );
    let nightlatch = Installation::on(server).with_asterisk();
    let _daemon = nightlatch.daemon();
    nightlatch.must(&["up", "--yes"]);
    nightlatch.must(&["allow", "four", "four.example.net"]);
    assert_eq!(
        nightlatch.must(&[
            "allow",
            "office",
            "Office.Example.NET.",
            "192.0.2.1",
            "--services",
            "sip"
        ]),
        "account \"office\" added: office.example.net (no address yet), 192.0.2.1 for sip\nif this is a carrier that sends media from other addresses, allow those too: \"nightlatch allow office-media NETWORK --services rtp\"\n"
    );
    let said = nightlatch.must(&["allow", "six", "six.example.net"]);
    assert!(said.contains("account \"six\" allows telephony only"), "{said}");
    for address in ["203.0.113.7", "2001:db8:2::7", "203.0.113.8", "2001:db8:2::8"] {
        support::wait_until("its addresses are accepted", Duration::from_secs(5), || {
            nightlatch.run_it(&["why", address, "--to", "udp/5060"]).status.success()
        });
        nightlatch.must_exit(1, &["why", address, "--to", "tcp/22"]);
    }
    let office = nightlatch.json(&["show", "office"]);
    assert_eq!(office["entries"][0]["host"]["name"], "office.example.net");
    // What points into the machine itself is left out.
    let hosts = "mixed.example.net,trap.example.net,trap6.example.net,none.example.net";
    nightlatch.must(&["allow", "mixed", hosts]);
    let entry = "mixed.example.net (203.0.113.9), trap.example.net (no address yet), trap6.example.net (no address yet)";
    support::wait_until("the sound address is accepted", Duration::from_secs(5), || {
        nightlatch.must(&["list"]).contains(entry)
    });
    let said = nightlatch.must_exit(2, &["allow", "x", "203.0.113.1", "no body"]);
    assert!(said.contains("neither an address nor a host name"), "{said}");
    // The old name for it.
    let link = nightlatch.directory().join("add-fqdn");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_nightlatch"), &link).unwrap();
    let mut old =
        nightlatch.command_called(link.to_str().unwrap(), &["branch", "four.example.net"]);
    assert!(old.output().unwrap().status.success());

    drop(dnsmasq);
    // What is allowed stays so without the resolver.
    assert!(nightlatch.must(&["list"]).contains("branch"));
    nightlatch.must(&["why", "203.0.113.7", "--to", "udp/5060"]);
}
