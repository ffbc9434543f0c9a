//! Network namespaces for the tests of the survey.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nightlatch::features::up::survey::{Root, Survey, take};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A network namespace that lives as long as the value, and no longer than the test.
pub(super) struct Namespace(Child);

impl Namespace {
    pub(super) fn new() -> Namespace {
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

    pub(super) fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// Runs a shell script inside; it must succeed.
    pub(super) fn run(&self, script: &str) {
        let output = Command::new("nsenter")
            .args([&format!("--net={}", self.path()), "sh", "-ec", script])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{script}: {said}");
    }

    /// Runs a function inside, in a thread of its own.
    pub(super) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let entered = scope.spawn(|| {
                let file = File::open(self.path()).unwrap();
                let kind = Some(LinkNameSpaceType::Network);
                move_into_link_name_space(file.as_fd(), kind).unwrap();
                work()
            });
            entered.join().unwrap()
        })
    }

    pub(super) fn survey(&self, root: &Path) -> Survey {
        self.inside(|| take(&Root::at(root)))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two namespaces joined by a cable: the server, and somebody.
pub(super) fn joined() -> (Namespace, Namespace) {
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
