//! The survey, on real kernels' rules, sockets and addresses: each test in a network namespace of
//! its own.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by a panic; its helpers are part of it"
)]

use std::fs::{self, File};
use std::io::Write;
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use nightlatch::features::up::survey::{
    Began, CutKind, FlowContext, InterfaceKind, OtherFirewall, Product, Protocol, Survey,
    all_flows, describe, proposal,
};
use space::{Namespace, joined};

mod session;
mod space;

/// A folder with files, as `Root` takes it.
fn root_with(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    }
    folder
}

fn firewall<'a>(survey: &'a Survey, id: &str) -> &'a OtherFirewall {
    let found = survey.firewalls.iter().find(|firewall| firewall.id == id);
    found.unwrap_or_else(|| panic!("no {id} in {:#?}", survey.firewalls))
}

fn ids(survey: &Survey) -> Vec<&str> {
    survey.firewalls.iter().map(|f| f.id.as_str()).collect()
}

fn installed(program: &str) -> bool {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .iter()
        .any(|folder| Path::new(folder).join(program).exists())
}

#[test]
fn an_empty_machine_has_no_other_firewall() {
    let namespace = Namespace::new();
    let root = root_with(&[]);
    let survey = namespace.survey(root.path());
    assert_eq!(ids(&survey), Vec::<&str>::new());
    assert_eq!(survey.published, []);
    assert_eq!(survey.pbx.chosen, None);
    assert_eq!(survey.unread, []);
    let read_back: Survey = serde_json::from_str(&serde_json::to_string(&survey).unwrap()).unwrap();
    assert_eq!(read_back, survey);
}

#[test]
fn iptables_rules_are_counted() {
    let namespace = Namespace::new();
    namespace.run(
        "iptables -P INPUT DROP
         iptables -A INPUT -p tcp --dport 22 -j ACCEPT
         iptables -A INPUT -s 192.0.2.1 -j DROP
         iptables -A INPUT -s 192.0.2.2 -j DROP
         iptables -A INPUT -s 192.0.2.3 -j REJECT
         ip6tables -A INPUT -s 2001:db8::1 -j REJECT",
    );
    let survey = namespace.survey(root_with(&[]).path());
    assert_eq!(ids(&survey), ["iptables-nft"]);
    let found = firewall(&survey, "iptables-nft");
    assert_eq!(found.drops_by_default, ["ip filter INPUT"]);
    assert_eq!((found.drop_rules, found.reject_rules), (2, 2));
    assert!(found.active);
    assert!(!found.at_boot);
    for part in ["ip filter INPUT", "2 rules drop and 2 rules reject", "accepted by both"] {
        assert!(found.effect.contains(part), "{}", found.effect);
    }
}

#[test]
fn iptables_legacy_rules_are_counted() {
    if !installed("iptables-legacy") {
        eprintln!("SKIPPED: iptables-legacy is not installed");
        return;
    }
    let namespace = Namespace::new();
    namespace.run("iptables-legacy -P FORWARD DROP; iptables-legacy -A INPUT -s 192.0.2.1 -j DROP");
    let survey = namespace.survey(root_with(&[]).path());
    assert_eq!(ids(&survey), ["iptables-legacy"]);
    let found = firewall(&survey, "iptables-legacy");
    assert_eq!(found.drops_by_default, ["ip filter FORWARD"]);
    assert_eq!((found.drop_rules, found.reject_rules), (1, 0));
}

#[test]
fn the_chains_of_fail2ban_ufw_and_freepbx_are_theirs() {
    let namespace = Namespace::new();
    namespace.run(
        "iptables -N f2b-sshd
         iptables -A f2b-sshd -s 192.0.2.7 -j REJECT
         iptables -A f2b-sshd -j RETURN
         iptables -A INPUT -p tcp --dport 22 -j f2b-sshd
         iptables -N fpbxfirewall
         iptables -A fpbxfirewall -j DROP
         iptables -A INPUT -j fpbxfirewall
         ip6tables -P INPUT DROP
         ip6tables -N ufw6-before-input
         ip6tables -A INPUT -j ufw6-before-input
         nft add table inet f2b-table
         nft add chain inet f2b-table f2b-chain '{ type filter hook input priority -1; }'
         nft add rule inet f2b-table f2b-chain tcp dport 22 drop",
    );
    let root = root_with(&[
        ("/etc/ufw/ufw.conf", "# on\nENABLED=yes\n"),
        ("/etc/systemd/system/multi-user.target.wants/ufw.service", ""),
        ("/etc/systemd/system/multi-user.target.wants/fail2ban.service", ""),
    ]);
    let survey = namespace.survey(root.path());
    assert_eq!(ids(&survey), ["ufw", "freepbx-firewall", "fail2ban"]);

    let ufw = firewall(&survey, "ufw");
    assert_eq!(ufw.drops_by_default, ["ip6 filter INPUT"]);
    assert!(ufw.active && ufw.at_boot);
    let fail2ban = firewall(&survey, "fail2ban");
    assert_eq!((fail2ban.drop_rules, fail2ban.reject_rules), (1, 1));
    assert!(fail2ban.active && fail2ban.at_boot);
    let freepbx = firewall(&survey, "freepbx-firewall");
    assert!(freepbx.flushes && freepbx.effect.contains("iptables -F"));
    assert_eq!(freepbx.drop_rules, 1);
}

#[test]
fn tables_of_nftables_are_named_and_ours_is_not() {
    let namespace = Namespace::new();
    namespace.run(
        "nft add table inet guard
         nft add chain inet guard in '{ type filter hook input priority 0; policy drop; }'
         nft add rule inet guard in tcp dport 22 accept
         nft add rule inet guard in tcp dport vmap '{ 23 : drop, 24 : accept }'
         nft add table inet firewalld
         nft add chain inet firewalld filter_INPUT '{ type filter hook input priority 10; }'
         nft add rule inet firewalld filter_INPUT reject with icmpx admin-prohibited
         nft add table inet nightlatch
         nft add chain inet nightlatch guard '{ type filter hook prerouting priority -150; policy drop; }'",
    );
    let root = root_with(&[
        ("/etc/nftables.conf", "#!/usr/sbin/nft -f\n\nflush ruleset\n"),
        ("/etc/systemd/system/sysinit.target.wants/nftables.service", ""),
    ]);
    let survey = namespace.survey(root.path());
    assert_eq!(ids(&survey), ["firewalld", "nftables-service", "nft inet guard"]);
    let guard = firewall(&survey, "nft inet guard");
    assert_eq!(guard.drops_by_default, ["inet guard in"]);
    assert_eq!(guard.drop_rules, 1);
    assert_eq!(firewall(&survey, "firewalld").reject_rules, 1);
    let service = firewall(&survey, "nftables-service");
    assert!(service.at_boot && service.flushes && !service.active);
    assert!(service.effect.contains("flush ruleset"), "{}", service.effect);
}

#[test]
fn published_ports_are_listed() {
    let namespace = Namespace::new();
    namespace.run(
        "ip link add docker0 type bridge
         ip addr add 172.17.0.1/16 dev docker0
         ip link set docker0 up
         iptables -t nat -N DOCKER
         iptables -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
         iptables -t nat -A DOCKER ! -i docker0 -p tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
         iptables -t nat -A DOCKER -d 192.0.2.5/32 ! -i docker0 -p udp --dport 5060 -j DNAT --to-destination 172.17.0.3:5060
         nft add table inet pub
         nft add chain inet pub pre '{ type nat hook prerouting priority -100; }'
         nft add rule inet pub pre tcp dport 100-101 dnat ip to 198.51.100.2:9
         nft add rule inet pub pre tcp dport 99 redirect to :44",
    );
    let survey = namespace.survey(root_with(&[]).path());
    let shown: Vec<String> = survey
        .published
        .iter()
        .map(|port| {
            format!(
                "{:?} {:?}-{:?} {:?} {:?} {}",
                port.protocol.unwrap(),
                port.first.unwrap(),
                port.last.unwrap(),
                port.address.as_deref().unwrap_or("any"),
                port.to.as_deref().unwrap_or("?"),
                port.chain
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            r#"Tcp 99-99 "any" "port 44 of this host" inet pub pre"#,
            r#"Tcp 100-101 "any" "198.51.100.2:9" inet pub pre"#,
            r#"Tcp 8080-8080 "any" "172.17.0.2:80" ip nat DOCKER"#,
            r#"Udp 5060-5060 "192.0.2.5" "172.17.0.3:5060" ip nat DOCKER"#,
        ]
    );
    let docker = firewall(&survey, "docker");
    assert!(docker.effect.contains("before they"), "{}", docker.effect);
    let containers = survey.interfaces.iter().find(|i| i.name == "docker0").unwrap();
    assert_eq!(containers.kind, InterfaceKind::Containers);
    let accounts = proposal(&survey).accounts;
    assert_eq!(accounts[0].name, "containers");
    assert_eq!(accounts[0].addresses[0].to_string(), "172.17.0.0/16");
}

#[test]
fn addresses_networks_and_gateways_are_read() {
    let (server, _client) = joined();
    let root = root_with(&[
        ("/etc/resolv.conf", "nameserver 127.0.0.53\noptions edns0\n"),
        ("/run/systemd/resolve/resolv.conf", "nameserver 192.168.7.254\nnameserver fe80::1%2\n"),
        ("/etc/chrony/chrony.conf", "pool 2.debian.pool.ntp.org iburst\n"),
        ("/etc/chrony/sources.d/own.sources", "server 192.0.2.123\n"),
    ]);
    let survey = server.survey(root.path());
    let networks: Vec<String> = survey.networks.iter().map(|n| n.network.to_string()).collect();
    assert_eq!(networks, ["192.168.7.0/24", "2001:db8:7::/64", "fd00:7::/64"]);
    let gateways: Vec<String> = survey.gateways.iter().map(|g| g.address.to_string()).collect();
    assert_eq!(gateways, ["192.168.7.254", "2001:db8:7::ff"]);
    let resolvers: Vec<String> = survey.resolvers.iter().map(ToString::to_string).collect();
    assert_eq!(resolvers, ["192.168.7.254", "fe80::1"]);
    assert_eq!(survey.time_servers, ["192.0.2.123", "2.debian.pool.ntp.org"]);

    let proposal = proposal(&survey);
    let local = proposal.accounts.iter().find(|a| a.name == "local-network").unwrap();
    let local: Vec<String> = local.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(local, ["192.168.7.0/24", "fd00:7::/64"]);
    assert_eq!(proposal.left_out[0].network.to_string(), "2001:db8:7::/64");
    assert!(proposal.warnings.iter().any(|warning| warning.id == "ipv6"));
}

#[test]
fn sockets_and_live_connections_are_read() {
    let (server, client) = joined();
    let root = root_with(&[("/etc/ssh/sshd_config", "Port 2222\n"), ("/etc/freepbx.conf", "")]);
    let (ssh, _web, _sip, _local) = server.inside(|| {
        (
            TcpListener::bind("[::]:2222").unwrap(),
            TcpListener::bind("192.168.7.1:80").unwrap(),
            UdpSocket::bind("0.0.0.0:5060").unwrap(),
            TcpListener::bind("127.0.0.1:5038").unwrap(),
        )
    });
    let place: (IpAddr, u16) = ("192.168.7.1".parse().unwrap(), 2222);
    let calling = client.inside(|| {
        [
            TcpStream::connect(place).unwrap(),
            TcpStream::connect(("2001:db8:7::1", 2222)).unwrap(),
            TcpStream::connect(("192.168.7.1", 80)).unwrap(),
        ]
    });
    let accepted = (ssh.accept().unwrap(), ssh.accept().unwrap());

    let survey = server.survey(root.path());
    let sockets: Vec<String> = survey
        .sockets
        .iter()
        .map(|s| format!("{} {} {} {}", s.protocol, s.address, s.port, s.only_loopback))
        .collect();
    assert_eq!(
        sockets,
        [
            "tcp 192.168.7.1 80 false",
            "tcp :: 2222 false",
            "tcp 127.0.0.1 5038 true",
            "udp 0.0.0.0 5060 false",
        ]
    );
    let own = fs::read_to_string("/proc/self/comm").unwrap();
    assert_eq!(survey.sockets[0].program.as_deref(), Some(own.trim()));
    assert_eq!(survey.sockets[0].pid, Some(std::process::id()));
    assert_eq!(survey.ssh.ports, [2222]);
    assert_eq!(survey.pbx.chosen, Some(Product::FreePbx));
    assert_eq!(survey.flows.len(), 3);
    assert!(
        survey.flows.iter().all(|flow| flow.began == Began::Peer && flow.protocol == Protocol::Tcp)
    );
    // Connections to the SSH port that have not logged in may be anybody's.
    assert_eq!(survey.caller.candidates, [] as [IpAddr; 0]);
    assert_eq!(survey.caller.address, None);
    assert!(proposal(&survey).accounts.iter().all(|account| account.name != "admin"));

    let context = FlowContext::of(&survey);
    let lines = describe(&context, &all_flows(&survey, []), |_| true);
    let shown: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(
        shown,
        [
            "1 other SSH session from 192.168.7.20",
            "1 other SSH session from 2001:db8:7::20",
            "1 web session at 192.168.7.20",
        ]
    );
    assert_eq!(lines[0].kind, CutKind::Ssh);
    let kept = describe(&context, &survey.flows, |flow| flow.peer.is_ipv6());
    assert_eq!(kept.len(), 1);
    drop((calling, accepted));
}

#[test]
fn a_running_pbx_and_its_ports_are_found() {
    let (server, client) = joined();
    // A program by the name of a PBX: what counts is the process and its socket.
    let root = root_with(&[("/etc/asterisk/pjsip.conf", "[t]\nprotocol=udp\nbind=0.0.0.0:7060\n")]);
    let fake = root.path().join("asterisk");
    crate::support::install_program("/usr/bin/perl", &fake);
    let ready = root.path().join("ready");
    let script = format!(
        "use IO::Socket::INET; \
         my @all = map {{ IO::Socket::INET->new(Proto => 'udp', LocalPort => $_) or die }} 7060, 15000; \
         open(my $file, '>', '{}'); close($file); <STDIN>;",
        ready.display()
    );
    let mut process = Command::new("nsenter")
        .arg(format!("--net={}", server.path()))
        .args([fake.to_str().unwrap(), "-e", &script])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    for _ in 0..6000 {
        if ready.exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let here = server.survey(root.path());
    let elsewhere = client.survey(root_with(&[]).path());
    drop(process.stdin.take());
    process.wait().unwrap();

    assert_eq!(here.pbx.chosen, Some(Product::Asterisk));
    assert!(here.pbx.found[0].running);
    assert_eq!(here.sockets[0].program.as_deref(), Some("asterisk"));
    let sip: Vec<String> = here.sip.iter().map(|s| format!("{}/{}", s.protocol, s.port)).collect();
    assert_eq!(sip, ["udp/7060"]);
    // Seen from another network namespace it is in a container.
    assert_eq!(elsewhere.pbx.chosen, None);
    assert_eq!(elsewhere.pbx.in_containers, ["asterisk"]);
    // No command `asterisk` answers here: that is said, and nothing else fails.
    assert!(here.unread.iter().any(|unread| unread.what.starts_with("asterisk -rx")));
}
