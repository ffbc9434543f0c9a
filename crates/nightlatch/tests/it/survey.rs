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
use std::process::{Child, Command, Stdio};

use nightlatch::features::up::survey::{
    Caller, CallerSource, CutKind, FlowContext, InterfaceKind, OtherFirewall, Product, Protocol,
    Root, Survey, all_flows, describe, proposal, take,
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace that lives as long as the value, and no longer than the test.
struct Namespace(Child);

impl Namespace {
    fn new() -> Namespace {
        // `cat` ends with our end of its pipe, even when the test is killed.
        let child = Command::new("unshare")
            .args(["-n", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("unshare is part of util-linux");
        let namespace = Namespace(child);
        let own = fs::read_link("/proc/self/ns/net").unwrap();
        for _ in 0..500 {
            let there = fs::read_link(namespace.path());
            if there.is_ok_and(|there| there != own) {
                namespace.run("ip link set lo up");
                return namespace;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("no network namespace: run as root, or where user namespaces are allowed");
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// Runs a shell script inside; it must succeed.
    fn run(&self, script: &str) {
        let output = Command::new("nsenter")
            .args([&format!("--net={}", self.path()), "sh", "-ec", script])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{script}: {said}");
    }

    /// Runs a function inside, in a thread of its own.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let entered = scope.spawn(|| {
                let file = File::open(self.path()).unwrap();
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(std::os::fd::AsFd::as_fd(&file), kind).unwrap();
                work()
            });
            entered.join().unwrap()
        })
    }

    fn survey(&self, root: &Path) -> Survey {
        self.inside(|| take(&Root::at(root)))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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
    for part in ["ip filter INPUT", "2 rules drop and 2 rules refuse", "must pass both"] {
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

/// Two namespaces joined by a cable: the server, and somebody.
fn joined() -> (Namespace, Namespace) {
    let (server, client) = (Namespace::new(), Namespace::new());
    server.run(&format!(
        "ip link add eth0 type veth peer name eth0 netns {}
         ip addr add 192.168.7.1/24 dev eth0
         ip addr add 2001:db8:7::1/64 dev eth0 nodad
         ip addr add fd00:7::1/64 dev eth0 nodad
         ip link set eth0 up
         ip route add default via 192.168.7.254
         ip -6 route add default via 2001:db8:7::ff",
        client.0.id()
    ));
    client.run(
        "ip addr add 192.168.7.20/24 dev eth0
         ip addr add 2001:db8:7::20/64 dev eth0 nodad
         ip link set eth0 up",
    );
    (server, client)
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
    assert!(survey.flows.iter().all(|flow| flow.began_by_peer && flow.protocol == Protocol::Tcp));
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

/// An SSH server of its own, with a key that it lets in.
struct SshServer {
    process: Child,
    folder: tempfile::TempDir,
}

impl SshServer {
    /// `None` where no SSH server is installed. `NIGHTLATCH_TEST_SSHD` names one elsewhere.
    fn start(namespace: &Namespace) -> Option<SshServer> {
        let program = std::env::var("NIGHTLATCH_TEST_SSHD").unwrap_or("/usr/sbin/sshd".to_owned());
        if !Path::new(&program).exists() || !installed("ssh") {
            eprintln!("SKIPPED: no SSH server is installed (openssh-server)");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().display();
        // A mount namespace of its own gives it the folder and the user that its package makes.
        let script = format!(
            "ssh-keygen -q -t ed25519 -N '' -f {place}/host
             ssh-keygen -q -t ed25519 -N '' -f {place}/key
             cp /etc/passwd {place}/passwd
             grep -q ^sshd: {place}/passwd ||
                 echo sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin >> {place}/passwd
             printf 'root:*:19000:0:99999:7:::\\n' > {place}/shadow
             mount -t tmpfs none /run
             mkdir /run/sshd
             mount --bind {place}/passwd /etc/passwd
             mount --bind {place}/shadow /etc/shadow
             exec {program} -D -e -f /dev/null -h {place}/host -p 2222 -o PermitRootLogin=yes \
                 -o StrictModes=no -o UsePAM=no -o AuthorizedKeysFile={place}/key.pub \
                 -o PidFile=none"
        );
        let process = Command::new("nsenter")
            .args([&format!("--net={}", namespace.path())])
            .args(["unshare", "-m", "sh", "-ec", &script])
            .stderr(File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let server = SshServer { process, folder };
        for _ in 0..500 {
            if server.log().contains("listening on") {
                return Some(server);
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the SSH server did not start: {}", server.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// What the survey says of the caller when `command` runs in an SSH session. `@SURVEY@` in it
    /// stands for the survey, which writes to `@OUT@`.
    fn caller(&self, client: &Namespace, command: &str) -> Caller {
        let place = self.folder.path().display();
        let out = self.folder.path().join("caller.json");
        let binary = std::env::current_exe().unwrap();
        let survey = format!(
            "NIGHTLATCH_TEST_OUT={} {} --exact survey::write_the_caller --ignored",
            out.display(),
            binary.display()
        );
        let command =
            command.replace("@SURVEY@", &survey).replace("@OUT@", &out.display().to_string());
        client.run(&format!(
            "ssh -F none -i {place}/key -p 2222 -o BatchMode=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null root@192.168.7.1 '{command}' > /dev/null"
        ));
        let text = fs::read_to_string(&out).unwrap();
        fs::remove_file(out).unwrap();
        serde_json::from_str(&text).unwrap()
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Not a test of its own: other tests run it inside an SSH session.
#[test]
#[ignore = "run by the tests that need a session"]
fn write_the_caller() {
    let Ok(out) = std::env::var("NIGHTLATCH_TEST_OUT") else {
        return;
    };
    let caller = take(&Root::system()).caller;
    let part = format!("{out}.part");
    fs::write(&part, serde_json::to_string(&caller).unwrap()).unwrap();
    fs::rename(part, out).unwrap();
}

#[test]
fn the_caller_is_found_through_a_real_ssh_session() {
    let (server, client) = joined();
    let Some(ssh) = SshServer::start(&server) else {
        return;
    };
    client.run("ip addr add 192.168.7.66/24 dev eth0");
    // A guesser of passwords is connected all the while, and is nobody's session.
    let guesser = client.inside(|| {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        let from: std::net::SocketAddr = "192.168.7.66:0".parse().unwrap();
        let to: std::net::SocketAddr = "192.168.7.1:2222".parse().unwrap();
        socket.bind(&from.into()).unwrap();
        socket.connect(&to.into()).unwrap();
        socket
    });
    let here: IpAddr = "192.168.7.20".parse().unwrap();
    // Away from its parents, as under tmux; the session waits for the answer.
    let away = |inner: &str| {
        format!("rm -f @OUT@; (setsid {inner} &) ; while ! test -e @OUT@; do sleep 0.05; done")
    };
    for (command, found) in [
        ("@SURVEY@".to_owned(), CallerSource::SshProcess),
        ("env -i sh -c \"@SURVEY@\"".to_owned(), CallerSource::SshProcess),
        (away("env @SURVEY@"), CallerSource::Environment),
        (away("env -u SSH_CONNECTION @SURVEY@"), CallerSource::OnlySshPeer),
        (
            away("env SSH_CONNECTION=\"198.51.100.9 4 192.168.7.1 2222\" @SURVEY@"),
            CallerSource::OnlySshPeer,
        ),
    ] {
        let caller = ssh.caller(&client, &command);
        assert_eq!((caller.address, caller.found), (Some(here), found), "{command}");
        assert_eq!(caller.candidates, [here], "{command}");
        assert!(caller.live && !caller.console, "{command}");
    }
    drop(guesser);
}
