//! Where the commands run: a server whose `/etc` and `/run` hold what is written here, so that
//! nothing of this machine stands in a transcript.

use std::net::TcpListener;
use std::ops::Deref;

use nightlatch_lab::stage::{Plan, Stage};

use super::server::Server;
use crate::support;

/// What the server has in `/etc`.
const ETC: &str = "\
echo 'hosts: files' > /etc/nsswitch.conf
echo 'multi on' > /etc/host.conf
echo 'nameserver 198.51.100.53' > /etc/resolv.conf
cat > /etc/hosts <<-END
	127.0.0.1 localhost trap.example.net
	203.0.113.17 office.example.net
	2001:db8:2::17 office.example.net
	END
# Of the telephone software of this machine, one is found first.
mkdir /etc/asterisk
touch /etc/asterisk/asterisk.conf
# Nor is it a host of containers.
if [ -e /var/lib/docker ]; then mount -n -t tmpfs tmpfs /var/lib; fi
if [ -e /var/lib/containers ]; then mount -n -t tmpfs tmpfs /var/lib/containers; fi
# The kernel makes a link-local address of a number that is drawn.
ip -6 addr flush dev eth0 scope link
ip -6 addr add fe80::11/64 dev eth0 nodad
# Whoever logged in on this machine is root there.
login=$(cat /proc/self/loginuid 2> /dev/null || echo 0)
echo \"root:x:$login:0:root:/root:/bin/sh\" > /etc/passwd
echo 'root:x:0:0:root:/root:/bin/sh' >> /etc/passwd
";

/// The stage, and a socket on the server: without any, `up` looks for streams of media for a second.
pub(super) struct Ground {
    stage: Stage,
    _socket: TcpListener,
}

impl Deref for Ground {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

/// A server and a stranger, or `None` where this machine does not allow namespaces.
pub(super) fn stage() -> Option<Ground> {
    stage_of(Plan::standard().without("office").without("traveller"))
}

/// The same with other hosts.
pub(super) fn stage_of(plan: Plan) -> Option<Ground> {
    if !support::installed(&["nft"]) {
        return None;
    }
    let plan = plan.change("server", |server| server.with_empty("/etc").with_empty("/run"));
    let stage = support::stage(&plan)?;
    let server = stage.host("server").unwrap();
    let output = server.command("sh").args(["-ec", ETC]).output().unwrap();
    assert!(output.status.success(), "{}", support::told(&output));
    let socket = server.run(|| TcpListener::bind("127.0.0.1:9")).unwrap().unwrap();
    Some(Ground { stage, _socket: socket })
}

/// The program on the server, which is an Asterisk.
pub(super) fn installation(stage: &Stage) -> Server<'_> {
    Server::on(stage.host("server").unwrap())
}
