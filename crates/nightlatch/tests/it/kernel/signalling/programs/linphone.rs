//! linphonec, controlled over its standard input. Its log tells what it does.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};

use nightlatch_lab::stage::Host;

use super::{Phone, Program};

/// A running linphonec: one account, one line.
pub(super) struct Linphone {
    commands: ChildStdin,
    log: PathBuf,
    /// How many bytes of the log have been read.
    read: usize,
    /// Whether the next line of the log is the first one of a received message.
    receives: bool,
    events: Vec<String>,
    _program: Program,
}

impl Linphone {
    /// Starts it on a host. `account` is its section of the configuration file.
    pub(super) fn start(host: &Host, place: &Path, account: &str) -> Linphone {
        let place = place.join(format!("linphone-{}", host.name()));
        // It creates its database there, but not the folder.
        std::fs::create_dir_all(place.join(".local/share/linphone")).unwrap();
        let configuration = format!(
            "[sip]\n\
             sip_port=5060\n\
             use_ipv6=0\n\
             default_proxy=0\n\
             [rtp]\n\
             audio_rtp_port=10000-10100\n\
             [proxy_0]\n\
             {account}\n"
        );
        std::fs::write(place.join("linphonerc"), configuration).unwrap();
        let log = place.join("log");
        let mut command = host.command("linphonec");
        command.arg("-c").arg(place.join("linphonerc")).args(["-d", "6", "-l"]).arg(&log);
        command.env("HOME", &place).env("XDG_RUNTIME_DIR", &place);
        for variable in ["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "DISPLAY"] {
            command.env_remove(variable);
        }
        // With a server named, the sound library starts none of its own.
        command.env("PULSE_SERVER", "unix:/nonexistent");
        let mut program = Program::start_with(command, &place.join("output"), Stdio::piped());
        let commands = program.0.stdin.take().unwrap();
        let events = Vec::new();
        Linphone { commands, log, read: 0, receives: false, events, _program: program }
    }

    fn does(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }
}

impl Phone for Linphone {
    fn dials(&mut self, uri: &str) {
        self.does(&format!("call {uri}"));
    }

    fn hangs_up(&mut self) {
        self.does("terminate");
    }

    fn happened(&mut self) -> &mut Vec<String> {
        let log = std::fs::read(&self.log).unwrap_or_default();
        let new = &log[self.read..];
        // The last line may be incomplete.
        let end = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        for line in String::from_utf8_lossy(&new[..end]).lines() {
            if self.receives && line.starts_with("INVITE ") {
                self.events.push("CALL_INCOMING".to_owned());
            }
            self.receives = line.contains("]: received [");
            if line.contains("to [LinphoneRegistrationOk]") {
                self.events.push("REGISTER_OK".to_owned());
            }
        }
        self.read += end;
        &mut self.events
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}
