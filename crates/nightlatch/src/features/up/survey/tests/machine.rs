//! Addresses, sockets, the caller, the host.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::logic::addresses::{
    connected_networks, gateways, is_private, is_public, read_interfaces, read_routes, resolvers,
    time_servers,
};
use super::super::logic::caller::{
    CallerHints, SshConnection, find_caller, has_logged_in, is_console, read_login_uid, read_stat,
    user_name, variable,
};
use super::super::logic::hosting::{HostFacts, cloud};
use super::super::logic::sockets::{
    Owner, SocketState, SshHints, from_sockets, port_of_endpoint, read_socket_unit,
    read_sshd_config, read_table, ssh_ports,
};
use super::super::{Caller, CallerSource, InterfaceKind, Protocol};
use super::ip;

#[test]
fn interfaces_are_told_apart() {
    use InterfaceKind::{Bridge, Containers, Loopback, Physical, Tunnel, Veth};
    let json = r#"[
      {"ifname":"lo","flags":["LOOPBACK","UP"],"link_type":"loopback","addr_info":[{"local":"127.0.0.1","prefixlen":8,"scope":"host"}]},
      {"ifname":"eth0","flags":["UP"],"link_type":"ether","addr_info":[{"local":"10.1.2.3","prefixlen":24,"scope":"global"},{"local":"fe80::1","prefixlen":64,"scope":"link"}]},
      {"ifname":"docker0","flags":["UP"],"link_type":"ether","linkinfo":{"info_kind":"bridge"},"addr_info":[{"local":"172.17.0.1","prefixlen":16,"scope":"global"}]},
      {"ifname":"br-0123456789ab","flags":["UP"],"link_type":"ether","linkinfo":{"info_kind":"bridge"},"addr_info":[]},
      {"ifname":"br-lan","flags":["UP"],"link_type":"ether","linkinfo":{"info_kind":"bridge"},"addr_info":[]},
      {"ifname":"veth12","flags":["UP"],"link_type":"ether","linkinfo":{"info_kind":"veth"},"addr_info":[]},
      {"ifname":"wg0","flags":["UP"],"link_type":"none","linkinfo":{"info_kind":"wireguard"},"addr_info":[{"local":"10.8.0.1","prefixlen":24,"scope":"global"}]},
      {"ifname":"tailscale0","flags":["UP"],"link_type":"none","linkinfo":{"info_kind":"tun"},"addr_info":[{"local":"100.64.0.9","prefixlen":32,"scope":"global"}]},
      {"ifname":"eth0.5","flags":[],"link_type":"ether","linkinfo":{"info_kind":"vlan"},"addr_info":[{"local":"192.168.5.1","prefixlen":24,"scope":"global"}]},
      {"no":"name"}, 7
    ]"#;
    let interfaces = read_interfaces(json).unwrap();
    let kinds: Vec<InterfaceKind> = interfaces.iter().map(|i| i.kind).collect();
    assert_eq!(
        kinds,
        [Loopback, Physical, Containers, Containers, Bridge, Veth, Tunnel, Tunnel, Physical]
    );
    let networks: Vec<String> = connected_networks(&interfaces, &[])
        .iter()
        .map(|c| format!("{} {}", c.network, c.interface))
        .collect();
    // Not those of loopback, link-local, single addresses, or interfaces that are down.
    assert_eq!(networks, ["10.1.2.0/24 eth0", "10.8.0.0/24 wg0", "172.17.0.0/16 docker0"]);
    assert_eq!(read_interfaces("").map(|list| list.len()), None);
}

#[test]
fn routes_of_every_kind() {
    let json = r#"[
      {"dst":"default","gateway":"192.0.2.1","dev":"eth0"},
      {"dst":"default","via":{"family":"inet6","host":"fe80::1"},"dev":"eth0"},
      {"dst":"default","nexthops":[{"gateway":"192.0.2.2","dev":"eth1"},{"gateway":"192.0.2.3","dev":"eth2"}]},
      {"dst":"default","dev":"ppp0"},
      {"dst":"fd00:1::/64","dev":"eth0","protocol":"ra"},
      {"dst":"192.168.50.0/24","gateway":"192.168.1.254","dev":"eth0"},
      {"dst":"nonsense","dev":"eth0"}
    ]"#;
    let routes = read_routes(json).unwrap();
    assert_eq!(routes.len(), 6);
    let found: Vec<String> =
        gateways(&routes).iter().map(|g| format!("{} {}", g.address, g.interface)).collect();
    assert_eq!(found, ["192.0.2.1 eth0", "fe80::1 eth0", "192.0.2.2 eth1", "192.0.2.3 eth2"]);
}

#[test]
fn private_and_public() {
    for (range, private) in [
        ("10.0.0.0/8", true),
        ("192.168.1.0/24", true),
        ("172.16.0.0/12", true),
        ("172.16.0.0/11", false),
        ("100.64.0.0/10", false),
        ("192.0.2.0/24", false),
        ("0.0.0.0/0", false),
        ("fd00::/64", true),
        ("2001:db8::/64", false),
    ] {
        assert_eq!(is_private(&range.parse().unwrap()), private, "{range}");
    }
    for (address, public) in [
        ("192.0.2.1", true),
        ("100.64.0.1", false),
        ("10.0.0.1", false),
        ("169.254.1.1", false),
        ("127.0.0.1", false),
        ("2001:db8::1", true),
        ("fe80::1", false),
        ("::1", false),
    ] {
        assert_eq!(is_public(ip(address)), public, "{address}");
    }
}

#[test]
fn resolvers_and_time_servers() {
    let stub = "# by systemd\nnameserver 127.0.0.53\nnameserver 192.0.2.9\nsearch example.com\n";
    assert_eq!(
        resolvers(stub, Some("nameserver 192.0.2.53\nnameserver 192.0.2.9\n")),
        [ip("192.0.2.9"), ip("192.0.2.53")]
    );
    assert_eq!(resolvers("nameserver fe80::1%eth0\n", None), [ip("fe80::1")]);
    assert_eq!(resolvers("nameserver name\nnameserver\n", None), [] as [std::net::IpAddr; 0]);
    for (text, expected) in [
        (
            "pool 2.debian.pool.ntp.org iburst\n#server no\nserver 192.0.2.1",
            "2.debian.pool.ntp.org 192.0.2.1",
        ),
        (
            "server -4 ntp.example.com iburst\npeer ntp2.example.com",
            "ntp.example.com ntp2.example.com",
        ),
        (
            "[Time]\nNTP=a.example.com b.example.com\n#FallbackNTP=c\n",
            "a.example.com b.example.com",
        ),
        ("driftfile /var/lib/x\nserver", ""),
    ] {
        assert_eq!(time_servers(text).join(" "), expected);
    }
}

#[test]
fn socket_tables() {
    let tcp = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
        \x20  0: 00000000:08AE 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1 0\n\
        \x20  1: 010200C0:08AE 147100CB:C350 01 00000000:00000000 00:00000000 00000000     0        0 101 1 0\n\
        \x20  2: 010200C0:D000 076433C6:0050 01 00000000:00000000 00:00000000 00000000     0        0 102 1 0\n\
        \x20  3: 0100007F:08AE 0100007F:C351 01 00000000:00000000 00:00000000 00000000     0        0 103 1 0\n\
        \x20  4: nonsense\n";
    let tcp6 = "header\n\
        \x20  0: 0000000000000000FFFF0000010200C0:08AE 0000000000000000FFFF0000157100CB:C352 01 00000000:00000000 00:00000000 00000000     0        0 104 1 0\n\
        \x20  1: B80D0120000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 105 1 0\n";
    if cfg!(target_endian = "big") {
        return;
    }
    let mut entries = read_table(Protocol::Tcp, tcp);
    entries.extend(read_table(Protocol::Tcp, tcp6));
    assert_eq!(entries.len(), 6);
    assert_eq!(entries[1].local.0, ip("192.0.2.1"));
    assert_eq!(entries[5].local, (ip("2001:db8::1"), 22));
    assert_eq!(entries[5].state, SocketState::Open);
    let flows: Vec<String> = from_sockets(&entries)
        .iter()
        .map(|f| format!("{}:{} {} {:?}", f.peer, f.peer_port, f.local_port, f.began))
        .collect();
    assert_eq!(
        flows,
        [
            "198.51.100.7:80 53248 Host",
            "203.0.113.20:50000 2222 Peer",
            "203.0.113.21:50002 2222 Peer"
        ]
    );

    let owner = |program: &str, command_line: &str| Owner {
        pid: 7,
        program: program.to_owned(),
        command_line: command_line.to_owned(),
    };
    let ports = |owner: Owner, hints: SshHints| {
        ssh_ports(&entries, &BTreeMap::from([(100, owner)]), &hints).ports
    };
    let none = SshHints::default;
    let listener = "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups";
    assert_eq!(ports(owner("sshd", listener), none()), [2222]);
    assert_eq!(ports(owner("sshd", "/usr/sbin/sshd -D"), none()), [2222]);
    // A port that a session forwards is no SSH port.
    assert_eq!(ports(owner("sshd", "sshd: alice@pts/0"), none()), [] as [u16; 0]);
    let hints =
        SshHints { configured: vec![22, 99], socket_unit: vec![2222, 23], connection: Some(77) };
    assert_eq!(ports(owner("systemd", "/sbin/init"), hints.clone()), [2222]);
    let hints = SshHints { socket_unit: vec![], ..hints };
    assert_eq!(ports(owner("systemd", "/sbin/init"), hints), [22, 77, 99]);
}

#[test]
fn ssh_configuration() {
    let config = read_sshd_config(
        "# Port 1\nInclude /etc/ssh/sshd_config.d/*.conf other.conf\nport 2222\nPort=2223\n\
         ListenAddress 192.0.2.1:2224\nListenAddress 2001:db8::1\nListenAddress [::]:2225\n",
    );
    assert_eq!(config.ports, [2222, 2223, 2224, 2225]);
    assert_eq!(config.includes, ["/etc/ssh/sshd_config.d/*.conf", "other.conf"]);
    let mut ports = Vec::new();
    read_socket_unit("[Socket]\nListenStream=22\nAccept=no\n", &mut ports);
    read_socket_unit(
        "[Socket]\nListenStream=\nListenStream=0.0.0.0:2200\nListenStream=[::]:2200\n",
        &mut ports,
    );
    assert_eq!(ports, [2200, 2200]);
    for (text, port) in [
        ("0.0.0.0:5060", Some(5060)),
        ("[::1]:5061", Some(5061)),
        ("192.0.2.1", None),
        ("2001:db8::5060", None),
        ("", None),
    ] {
        assert_eq!(port_of_endpoint(text), port, "{text}");
    }
}

fn connection(text: &str) -> SshConnection {
    SshConnection::read(text).unwrap()
}

#[test]
fn where_the_caller_is() {
    use CallerSource::{Environment, NotFound, OnlySshPeer, ParentProcess, SshProcess};
    let here = connection("203.0.113.9 50022 192.0.2.5 22");
    let there = connection("203.0.113.77 50022 192.0.2.5 22");
    let old = connection("198.51.100.1 1 192.0.2.5 22");
    let find = |hints: CallerHints| {
        let mut caller = Caller::default();
        find_caller(&hints, &mut caller);
        (caller.address.map(|a| a.to_string()), caller.found, caller.live)
    };
    let hints = |above: &[SshConnection],
                 environment,
                 parents: &[SshConnection],
                 sessions: &[SshConnection]| {
        find(CallerHints {
            above: above.to_vec(),
            environment,
            parents: parents.to_vec(),
            sessions: sessions.to_vec(),
        })
    };
    let at = |address: &str, found, live| (Some(address.to_owned()), found, live);
    assert_eq!(hints(&[here], Some(old), &[], &[here, there]), at("203.0.113.9", SshProcess, true));
    assert_eq!(hints(&[], Some(here), &[], &[here, there]), at("203.0.113.9", Environment, true));
    assert_eq!(
        hints(&[], Some(old), &[here], &[here, there]),
        at("203.0.113.9", ParentProcess, true)
    );
    assert_eq!(hints(&[], Some(old), &[], &[here]), at("203.0.113.9", OnlySshPeer, true));
    assert_eq!(hints(&[], Some(old), &[], &[here, there]), at("198.51.100.1", Environment, false));
    assert_eq!(hints(&[], Some(here), &[], &[]), at("203.0.113.9", Environment, false));
    assert_eq!(hints(&[], None, &[], &[here, there]), (None, NotFound, false));
    assert_eq!(hints(&[], None, &[], &[]), (None, NotFound, false));
}

#[test]
fn pieces_of_the_caller() {
    assert_eq!(
        SshConnection::read("fe80::1%eth0 5 fe80::2%eth0 22").unwrap().peer.0,
        ip("fe80::1")
    );
    assert_eq!(SshConnection::read("::ffff:192.0.2.1 5 ::1 22").unwrap().peer.0, ip("192.0.2.1"));
    for wrong in ["", "203.0.113.9", "203.0.113.9 x 192.0.2.5 22", "name 1 192.0.2.5 22"] {
        assert_eq!(SshConnection::read(wrong), None, "{wrong}");
    }
    let environ = b"A=1\0XSSH_CONNECTION=no\0SSH_CONNECTION=yes\0B=\xff\0";
    assert_eq!(variable(environ, "SSH_CONNECTION"), Some("yes"));
    assert_eq!(read_stat("7 (a) b ) S 3 7 7 34816 7"), Some((3, 34816)));
    assert_eq!(read_stat("7 (x"), None);
    for (device, console) in
        [(0x0401, true), (0x0440, true), (0x0501, true), (0xE500, true), (34816, false), (0, false)]
    {
        assert_eq!(is_console(device), console, "{device:x}");
    }
    for (program, title, logged_in) in [
        ("sshd", "sshd: alice@pts/0", true),
        ("sshd-session", "sshd-session: root@notty", true),
        ("sshd", "sshd: alice [priv]", false),
        ("sshd", "sshd: a@b [net]", false),
        ("sshd", "sshd: [accepted]", false),
        ("sshd", "/usr/sbin/sshd -D", false),
        ("bash", "sshd: alice@pts/0", false),
    ] {
        assert_eq!(has_logged_in(program, title), logged_in, "{title}");
    }
    let passwd =
        "root:x:0:0:root:/root:/bin/bash\nalice:x:1000:1000::/root/alice:/bin/sh\nbroken\n";
    assert_eq!(user_name(passwd, 1000).as_deref(), Some("alice"));
    assert_eq!(user_name(passwd, 5), None);
    assert_eq!(read_login_uid("1000\n"), Some(1000));
    assert_eq!(read_login_uid("4294967295"), None);
}

#[test]
fn rented_or_not() {
    let facts = |dmi: &[&str], cloud_id: &str, cloud_init, public_address| HostFacts {
        dmi: dmi.iter().map(|&text| text.to_owned()).collect(),
        cloud_id: cloud_id.to_owned(),
        cloud_init,
        public_address,
        ..HostFacts::default()
    };
    for (facts, expected) in [
        (facts(&["Amazon EC2\n", "t3.micro"], "", false, false), Some(Some("Amazon EC2"))),
        (facts(&["Microsoft Corporation", "Virtual Machine"], "", false, true), None),
        (
            facts(
                &["Microsoft Corporation", "Virtual Machine", "7783-7084-3265-9085-8269-3286-77"],
                "",
                false,
                false,
            ),
            Some(Some("Microsoft Azure")),
        ),
        (facts(&["Hetzner", "vServer"], "hetzner", true, true), Some(Some("Hetzner"))),
        (facts(&["QEMU"], "aws-gov\n", true, false), Some(Some("Amazon EC2"))),
        (facts(&["QEMU"], "nocloud", true, true), Some(None)),
        (facts(&["QEMU"], "nocloud", true, false), None),
        (facts(&["Dell Inc.", "PowerEdge"], "", false, true), None),
        (
            HostFacts { hypervisor_uuid: "ec2e1916-9099".to_owned(), ..HostFacts::default() },
            Some(Some("Amazon EC2")),
        ),
    ] {
        let found = cloud(&facts);
        assert_eq!(found.is_cloud.then_some(found.name.as_deref()), expected, "{facts:?}");
    }
}

proptest! {
    #[test]
    fn no_text_breaks_a_reader(text in "(\\PC|[\n0-9A-F: =\\[\\]\"{},./]){0,300}") {
        read_interfaces(&text);
        read_routes(&text);
        read_table(Protocol::Tcp, &text);
        read_sshd_config(&text);
        read_socket_unit(&text, &mut Vec::new());
        resolvers(&text, Some(&text));
        time_servers(&text);
        SshConnection::read(&text);
        read_stat(&text);
        user_name(&text, 0);
        port_of_endpoint(&text);
    }
}
