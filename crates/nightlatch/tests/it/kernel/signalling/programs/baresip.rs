//! baresip, controlled over its control port.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nightlatch_lab::stage::Host;
use serde_json::{Value, json};

use super::{Phone, Program, TIMEOUT};
use crate::support::wait_until;

const CONTROL: &str = "127.0.0.1:4444";

/// A running baresip: one account, one line.
pub(super) struct Baresip {
    control: TcpStream,
    received: Vec<u8>,
    /// The names of past events, e.g. `REGISTER_OK`.
    events: Vec<String>,
    log: PathBuf,
    _program: Program,
}

impl Baresip {
    /// Starts it at an address of a host, with media from port 10000 on. `account` is a line of its
    /// accounts file. `name` is the process name.
    pub(super) fn start(
        host: &Host,
        address: &str,
        place: &Path,
        account: &str,
        name: &str,
    ) -> Baresip {
        let place = place.join(format!("baresip-{}", host.name()));
        std::fs::create_dir_all(&place).unwrap();
        let configuration = format!(
            "module_path /usr/lib/baresip/modules\n\
             poll_method epoll\n\
             sip_listen {address}:5060\n\
             audio_player aubridge,none\n\
             audio_source aubridge,none\n\
             audio_alert aubridge,none\n\
             rtp_ports 10000-10100\n\
             module g711.so\n\
             module aubridge.so\n\
             module_tmp uuid.so\n\
             module_tmp account.so\n\
             module_app menu.so\n\
             module_app ctrl_tcp.so\n\
             ctrl_tcp_listen {CONTROL}\n"
        );
        std::fs::write(place.join("config"), configuration).unwrap();
        std::fs::write(place.join("accounts"), format!("{account}\n")).unwrap();
        std::fs::write(place.join("contacts"), "").unwrap();
        let program = which("baresip");
        let link = place.join(name);
        if !link.exists() {
            std::os::unix::fs::symlink(program, &link).unwrap();
        }
        // Otherwise the log stays empty until the program ends.
        let mut command = host.command("stdbuf");
        command.arg("-oL").arg(&link).arg("-f").arg(&place);
        let log = place.join("log");
        let program = Program::start(command, &log);
        let mut control = None;
        wait_until("baresip accepts commands", TIMEOUT, || {
            control = host.run(|| TcpStream::connect(CONTROL)).unwrap().ok();
            control.is_some()
        });
        let control = control.unwrap();
        control.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        Baresip { control, received: Vec::new(), events: Vec::new(), log, _program: program }
    }

    /// Waits for its first successful registration, possibly before it accepts commands.
    pub(super) fn is_registered(&self) {
        let start = crate::support::now();
        while !self.said().contains("200 OK") {
            assert!(start.elapsed() < TIMEOUT, "{}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends it a command.
    pub(super) fn does(&mut self, command: &str, parameters: &str) {
        let text = json!({ "command": command, "params": parameters, "token": "t" }).to_string();
        let framed = format!("{}:{text},", text.len());
        self.control.write_all(framed.as_bytes()).unwrap();
    }

    /// Reads the received messages, each `LENGTH:TEXT,`.
    fn listen(&mut self) {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = self.control.read(&mut buffer) {
            self.received.extend_from_slice(&buffer[..length]);
        }
        while let Some(colon) = self.received.iter().position(|byte| *byte == b':') {
            let length: usize =
                std::str::from_utf8(&self.received[..colon]).unwrap().trim().parse().unwrap();
            if self.received.len() < colon + length + 2 {
                return;
            }
            let text: Vec<u8> = self.received.drain(..colon + length + 2).collect();
            let value: Value =
                serde_json::from_slice(&text[colon + 1..=colon + length]).unwrap_or_default();
            if let Some(event) = value["type"].as_str() {
                self.events.push(event.to_owned());
            }
        }
    }
}

impl Phone for Baresip {
    fn dials(&mut self, uri: &str) {
        self.does("dial", uri);
    }

    fn hangs_up(&mut self) {
        self.does("hangup", "");
    }

    fn happened(&mut self) -> &mut Vec<String> {
        self.listen();
        &mut self.events
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

pub(super) fn which(program: &str) -> std::path::PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).map(|place| place.join(program));
    places.find(|place| place.exists()).unwrap()
}
