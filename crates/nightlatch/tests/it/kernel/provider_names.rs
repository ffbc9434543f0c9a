//! Providers whose servers are named: addresses, NAPTR and SRV records of a real resolver, in the kernel.

use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Stdio};
use std::time::Duration;

use nightlatch_lab::packet::Packet;
use nightlatch_lab::stage::{Host, Plan};

use super::ground::{Ears, Prober, TIMEOUT, protect};
use crate::support::{self, wait_until};

const UDP: u8 = 17;
const TCP: u8 = 6;

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

#[test]
fn names_and_records_of_services_are_followed() {
    if !support::installed(&["nft", "dnsmasq"]) {
        return;
    }
    let plan = Plan::standard().without("office").without("traveller").with_resolver();
    let plan = plan.change("server", |server| server.with_copy("/etc"));
    let Some(stage) = support::stage(&plan) else {
        return;
    };
    let host = |name| stage.host(name).unwrap();
    let (server, attacker, resolver) = (host("server"), host("attacker"), host("resolver"));
    let script =
        format!("rm -f /etc/resolv.conf; echo 'nameserver {}' > /etc/resolv.conf", resolver.v4());
    assert!(server.command("sh").args(["-ec", &script]).status().unwrap().success());
    let _dnsmasq = Resolver::in_host(
        resolver,
        &[
            "--host-record=proxy.sipthor.net,203.0.113.7,2001:db8:2::7",
            "--naptr-record=sip2sip.info,20,10,s,SIP+D2U,,_sip._udp.node.example.net",
            "--srv-host=_sip._udp.node.example.net,node.example.net,5060",
            "--host-record=node.example.net,203.0.113.8",
        ],
    );
    let (nightlatch, _daemon) = protect(server, "");
    nightlatch.must(&["provider", "enable", "sip2sip", "--force"]);
    let (prober, ears) = (Prober::on(attacker), Ears::on(server));
    let passes = |source: &str, protocol: u8, port: u16| {
        let source: IpAddr = source.parse().unwrap();
        let own = if source.is_ipv4() { server.v4() } else { server.v6() };
        let (from, to) = (SocketAddr::new(source, 4000), SocketAddr::new(own, port));
        let packet = match protocol {
            TCP => Packet::tcp(from, to, 2),
            _ => Packet::udp(from, to, b"hello"),
        };
        ears.heard();
        (0..4).any(|_| {
            prober.send(&packet);
            std::thread::sleep(Duration::from_millis(40));
            ears.count(source, protocol) > 0
        })
    };
    for source in ["203.0.113.7", "2001:db8:2::7", "203.0.113.8"] {
        wait_until(source, TIMEOUT, || passes(source, UDP, 5060));
        assert!(!passes(source, TCP, 22) && !passes(source, TCP, 443), "{source}");
    }
    assert!(!passes("203.0.113.9", UDP, 5060));
    let shown = nightlatch.must(&["provider", "show", "sip2sip"]);
    assert!(shown.contains("proxy.sipthor.net (203.0.113.7, 2001:db8:2::7)"), "{shown}");
    assert!(shown.contains("_sip.sip2sip.info (203.0.113.8)"), "{shown}");
    let who = nightlatch.must(&["who", "203.0.113.8", "--no-dns"]);
    assert!(who.contains("provider  sip2sip: _sip.sip2sip.info 203.0.113.8"), "{who}");
    nightlatch.must(&["provider", "disable", "sip2sip"]);
    assert!(!passes("203.0.113.7", UDP, 5060) && !passes("203.0.113.8", UDP, 5060));
    let names = nightlatch.json(&["names"]);
    assert_eq!(names["names"].as_array().unwrap().len(), 0, "{names}");
}
