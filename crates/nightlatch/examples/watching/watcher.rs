//! The programs that watch a log.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nightlatch_lab::stage::Host;

use super::place::{Daemon, Place};

/// A program that watches.
pub(crate) struct Watcher<'a> {
    name: String,
    running: Running<'a>,
}

enum Running<'a> {
    Ours { daemon: Daemon, place: Box<Place<'a>> },
    Other(Child),
}

impl<'a> Watcher<'a> {
    /// Starts it on the server.
    pub(crate) fn start(name: &str, server: &'a Host, folder: &Path, log: &Path) -> Watcher<'a> {
        let running = match name {
            "nightlatch" => {
                let (place, daemon) = protect(server, Some(log));
                Running::Ours { daemon, place }
            }
            "fail2ban" => Running::Other(fail2ban(server, folder, log)),
            "fail2ban-rs" => Running::Other(fail2ban_rs(server, folder, log)),
            "fail2zig" => Running::Other(fail2zig(server, folder, log)),
            other => panic!("{other} is not known"),
        };
        Watcher { name: name.to_owned(), running }
    }

    /// Ours.
    pub(crate) fn place(&self) -> Option<&Place<'a>> {
        match &self.running {
            Running::Ours { place, .. } => Some(place),
            Running::Other(_) => None,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its CPU time, of all its threads and of children that have ended, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        let process = match &self.running {
            Running::Ours { daemon, .. } => daemon.id(),
            Running::Other(child) => child.id(),
        };
        let text = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        let behind = text.rsplit_once(") ").unwrap().1;
        let fields: Vec<&str> = behind.split(' ').collect();
        // utime, stime, cutime, cstime, in hundredths of a second.
        fields[11..15].iter().map(|field| field.parse::<f64>().unwrap()).sum::<f64>() / 100.0
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        if let Running::Other(child) = &mut self.running {
            // It may have ended already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Our program, in force on the server, with the log that it watches.
pub(crate) fn protect<'a>(server: &'a Host, log: Option<&Path>) -> (Box<Place<'a>>, Daemon) {
    let program = std::env::current_exe().unwrap();
    let program: &'static Path =
        Box::leak(program.ancestors().nth(2).unwrap().join("nightlatch").into_boxed_path());
    let place = Box::new(Place::new(program, server));
    // Any program can write such lines by way of syslog, so there would be a thousand bans at a time.
    let mut config = "[bans]\nmax-brief = 100000\n".to_owned();
    if let Some(log) = log {
        config += &format!("[[watch]]\npath = \"{}\"\nformat = \"sshd\"\n", log.display());
    }
    std::fs::write(place.folder().join("nightlatch.toml"), config).unwrap();
    let daemon = place.daemon();
    place.must(&["up", "--yes"]);
    (place, daemon)
}

fn begin(mut command: Command) -> Child {
    let child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(5));
    child
}

fn fail2ban(server: &Host, folder: &Path, log: &Path) -> Child {
    let etc = folder.join("fail2ban");
    let copied = Command::new("cp").arg("-r").arg("/etc/fail2ban").arg(&etc).status().unwrap();
    assert!(copied.success(), "Debian's package fail2ban is needed");
    let _ = std::fs::remove_dir_all(etc.join("jail.d"));
    let jail = format!(
        "[DEFAULT]\nbanaction = nftables-allports\nprotocol = udp\nmaxretry = 5\nfindtime = 10m\nbantime = 1h\n\
         [sshd]\nenabled = true\nbackend = auto\nlogpath = {}\n",
        log.display()
    );
    std::fs::write(etc.join("jail.local"), jail).unwrap();
    let own = format!(
        "[Definition]\nlogtarget = {0}/f2b.log\nsocket = {0}/f2b.sock\npidfile = {0}/f2b.pid\ndbfile = {0}/f2b.sqlite3\n",
        folder.display()
    );
    std::fs::write(etc.join("fail2ban.local"), own).unwrap();
    let mut command = server.command("fail2ban-server");
    command.arg("-c").arg(&etc).args(["-xf", "start"]);
    begin(command)
}

fn fail2ban_rs(server: &Host, folder: &Path, log: &Path) -> Child {
    let config = folder.join("fail2ban-rs.toml");
    let text = format!(
        "[global]\nstate_file = \"{0}/rs.bin\"\nsocket_path = \"{0}/rs.sock\"\n[jail.sshd]\nenabled = true\n\
         log_path = \"{1}\"\ndate_format = \"syslog\"\nfilter = ['sshd\\[\\d+\\]: Failed password for .* from <HOST>']\n\
         port = [\"{2}\"]\nprotocol = \"udp\"\nmax_retry = 5\nfind_time = \"10m\"\nban_time = \"1h\"\nbackend = \"nftables\"\n",
        folder.display(),
        log.display(),
        4_000,
    );
    std::fs::write(&config, text).unwrap();
    let mut command = server.command(&std::env::var("FAIL2BAN_RS").unwrap());
    command.arg("-c").arg(&config).arg("run");
    begin(command)
}

fn fail2zig(server: &Host, folder: &Path, log: &Path) -> Child {
    let config = folder.join("fail2zig.toml");
    let text = format!(
        "[global]\npid_file = \"{0}/zig.pid\"\nsocket_path = \"{0}/zig.sock\"\nstate_file = \"{0}/zig.bin\"\n\
         [defaults]\nbantime = 3600\nfindtime = 600\nmaxretry = 5\nbanaction = \"nftables\"\n\
         [jails.sshd]\nenabled = true\nfilter = \"sshd\"\nlogpath = [\"{1}\"]\n",
        folder.display(),
        log.display(),
    );
    std::fs::write(&config, text).unwrap();
    let mut command = server.command(&std::env::var("FAIL2ZIG").unwrap());
    command.arg("--config").arg(&config).arg("--foreground");
    begin(command)
}
