//! The caller's address, through a real SSH server where one is installed.

use std::fs::{self, File};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command};

use nightlatch::features::up::survey::{Caller, CallerSource, Root, take};

use super::installed;
use super::space::{Namespace, joined};

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
            "NIGHTLATCH_TEST_OUT={} {} --exact survey::session::write_the_caller --ignored",
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
#[ignore = "a part of the_caller_is_found_through_a_real_ssh_session"]
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
