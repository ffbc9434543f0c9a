//! Knocking where the server's interface gets another name, is replaced, becomes part of a bridge, and is no
//! Ethernet.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Stdio};
use std::time::Duration;

use nightlatch_lab::stage::{Host, Plan};

use super::ground::{Echo, SILENCE, TIMEOUT as SHORT, both, connect, ignores_tcp, protect, shell};
use super::knock::knocker;
use crate::support::{self, wait_until};

/// How long a link may take to carry packets on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Gives the interface the addresses and routes of the server.
fn configure(server: &Host, interface: &str) {
    shell(
        server,
        &format!(
            "ip link set {interface} up
             ip address replace 198.51.100.1/24 dev {interface}
             ip address replace 2001:db8:1::1/64 dev {interface} nodad
             ip route replace default via 198.51.100.254
             ip -6 route replace default via 2001:db8:1::fe"
        ),
    );
}

#[test]
fn other_interfaces_change_nothing() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["knock"]) {
        return;
    }
    let host = |name| stage.host(name).unwrap();
    let (server, router, phone) = (host("server"), host("router"), host("traveller"));
    let (nightlatch, _daemon) = protect(server, "");
    let _echo = Echo::on(server, &[], &[443]);
    let [a, b, c] = knocker(&nightlatch, "anna", "web");
    let opens_at_once = |web: &SocketAddr| {
        let asked = phone.run(|| TcpStream::connect_timeout(web, SILENCE)).unwrap();
        asked.is_ok()
    };
    let opens = |change: &str| {
        for (own, from) in both(server).into_iter().zip(both(phone)) {
            let web = SocketAddr::new(own, 443);
            assert!(ignores_tcp(phone, web), "{change}: {own} is open");
            let family = if own.is_ipv4() { "-4" } else { "-6" };
            wait_until(&format!("{change}: it opens {own}"), TIMEOUT, || {
                shell(phone, &format!("knock {family} -d 50 {own} {a} {b} {c}"));
                opens_at_once(&web)
            });
            let listed = nightlatch.json(&["leases"]).to_string();
            assert!(listed.contains(&from.to_string()), "{change}: {listed}");
        }
    };
    // What is open stays so, and what was closed opens.
    let stays_and_opens = |change: &str| {
        for own in both(server) {
            let web = SocketAddr::new(own, 443);
            wait_until(&format!("{change}: {own} stays open"), TIMEOUT, || opens_at_once(&web));
        }
        for from in both(phone) {
            nightlatch.must(&["close", &from.to_string()]);
        }
        opens(change);
    };
    opens("as it was");

    shell(server, "ip link set eth0 down; ip link set eth0 name uplink");
    configure(server, "uplink");
    stays_and_opens("renamed");

    let holder = server.holder();
    shell(
        router,
        &format!(
            "ip link delete lan-server
             ip link add lan-server type veth peer name wan0 netns {holder}
             ip address add 198.51.100.254/24 dev lan-server
             ip address add 2001:db8:1::fe/64 dev lan-server nodad
             ip link set lan-server up"
        ),
    );
    assert!(!shell(server, "ip -o link").contains("uplink"));
    configure(server, "wan0");
    stays_and_opens("made anew");

    shell(
        server,
        "ip link add br0 type bridge mcast_snooping 0 forward_delay 0
         ip address flush dev wan0
         ip link set wan0 master br0",
    );
    configure(server, "br0");
    stays_and_opens("bridged");
    // The daemon has seen all of it, and it is the same one.
    assert!(connect(phone, SocketAddr::new(server.v4(), 443)).is_ok());
}

/// Makes the interface `tun0`, which has IP packets and nothing around them, and carries these from and to
/// its standard input.
const END_OF_A_TUNNEL: &str = r#"
import fcntl, os, select, socket, struct
device = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(device, 0x400454CA, struct.pack("16sH22x", b"tun0", 0x1001))
other = socket.socket(fileno=0)
other.send(b"")
while True:
    for ready in select.select([device, other], [], [])[0]:
        if ready is other:
            packet = other.recv(65536)
            try:
                packet and os.write(device, packet)
            except OSError:
                pass  # The interface is down: so is the link.
        else:
            other.send(os.read(device, 65536))
"#;

/// One end of a tunnel, which ends with this.
struct End(Child);

impl End {
    fn of(host: &Host, way: UnixDatagram) -> End {
        let mut command = host.command("python3");
        command.args(["-c", END_OF_A_TUNNEL]).stdin(Stdio::from(OwnedFd::from(way)));
        End(command.spawn().unwrap())
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_link_without_ethernet_changes_nothing() {
    let Some(stage) = support::stage(&Plan::standard()) else {
        return;
    };
    if !support::installed(&["knock", "python3"]) || !std::path::Path::new("/dev/net/tun").exists()
    {
        return;
    }
    let host = |name| stage.host(name).unwrap();
    let (server, router, phone) = (host("server"), host("router"), host("traveller"));
    let (nightlatch, _daemon) = protect(server, "");
    let _echo = Echo::on(server, &[], &[443]);
    let [a, b, c] = knocker(&nightlatch, "anna", "web");
    let (here, there) = UnixDatagram::pair().unwrap();
    let _ends = [End::of(server, here), End::of(router, there)];
    for end in [server, router] {
        wait_until("the tunnel is there", TIMEOUT, || shell(end, "ip -o link").contains("tun0"));
    }
    shell(server, "ip link delete eth0");
    shell(
        router,
        "ip link set tun0 up
         ip route replace 198.51.100.0/24 dev tun0
         ip route replace 2001:db8:1::/64 dev tun0",
    );
    configure(server, "tun0");
    assert!(shell(server, "ip -o link show tun0").contains("link/none"));
    std::thread::sleep(Duration::from_secs(2));
    for (own, from) in both(server).into_iter().zip(both(phone)) {
        let web = SocketAddr::new(own, 443);
        assert!(ignores_tcp(phone, web), "{own} is open");
        let family = if own.is_ipv4() { "-4" } else { "-6" };
        // A copy of each packet is all that tells the daemon of these.
        shell(phone, &format!("knock {family} -d 5 {own} {}", format!("{a} {c} ").repeat(10)));
        wait_until(&format!("{from} is told of"), SHORT, || {
            nightlatch.log().contains(&format!("{from} has begun"))
        });
        shell(phone, &format!("knock {family} -d 50 {own} {a} {b} {c}"));
        wait_until(&format!("{own} is open"), SHORT, || connect(phone, web).is_ok());
        wait_until(&format!("{own}: there is a lease"), SHORT, || {
            nightlatch.json(&["leases"]).to_string().contains(&from.to_string())
        });
    }
}
