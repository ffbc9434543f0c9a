//! Structure as text, by the program `nft`.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::monitor::Change;
use crate::netlink::Netlink;

/// `nft` needs milliseconds for a structure of ours.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a refusal is kept.
const MESSAGE_BYTES: u64 = 64 * 1024;
const MESSAGE_LINES: usize = 12;

/// Why `nft` did not load a text. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum NftError {
    /// The program is not there.
    #[error("nft is not installed: install the package nftables")]
    Missing,
    /// `nft` or the kernel refused the text.
    #[error("nft refused the ruleset: {message}")]
    Refused {
        /// The first lines of what it said.
        message: String,
    },
    /// `nft` did not end in time and was stopped.
    #[error("nft did not finish within {} seconds and was stopped", TIMEOUT.as_secs())]
    TimedOut,
    /// `nft` could not be run.
    #[error("cannot run nft")]
    Io(#[from] io::Error),
}

impl Netlink {
    /// Loads a text with `nft -f -`: one transaction, all or nothing. It counts as a change of this socket's
    /// owner.
    ///
    /// Acts on the network namespace of the calling thread, which has to be that of the socket. Never let a
    /// text name elements of a large set: `nft` then reads the whole set.
    ///
    /// # Errors
    /// Each says what to do; nothing was changed. After [`NftError::TimedOut`] read back.
    pub fn load(&mut self, text: &str) -> Result<(), NftError> {
        let loads = &mut self.loads;
        run(&["-f", "-"], text, |process| loads.note_process(process))?;
        loads.count = loads.count.wrapping_add(1);
        Ok(())
    }
}

/// How many of the processes that loaded texts are remembered: the kernel reports what they did within a
/// second or so, and process numbers are reused at some time.
const MAX_PROCESSES: usize = 64;

/// The texts that were loaded beside a socket.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    /// How many there were.
    pub(crate) count: u32,
    /// The processes that loaded the last of them.
    processes: VecDeque<u32>,
}

impl Loads {
    fn note_process(&mut self, process: u32) {
        self.processes.push_back(process);
        if self.processes.len() > MAX_PROCESSES {
            self.processes.pop_front();
        }
    }

    /// Whether a change was made by a process that loaded one of the last texts.
    ///
    /// The kernel gives a program's first netlink socket the number of its process as port, as the
    /// program itself knows it; and the change names the process as it is numbered outside all
    /// containers. One of the two is right, wherever we run.
    pub(crate) fn have_made(&self, change: &Change) -> bool {
        let named = [change.port, change.process_id];
        self.processes.iter().any(|it| named.contains(&Some(*it)))
    }
}

/// Whether `nft` would load a text; changes nothing.
///
/// # Errors
/// As [`Netlink::load`].
pub fn check(text: &str) -> Result<(), NftError> {
    run(&["-c", "-f", "-"], text, |_| {})
}

fn run(arguments: &[&str], text: &str, on_process: impl FnOnce(u32)) -> Result<(), NftError> {
    let mut child = Command::new("nft")
        .args(arguments)
        .env("LC_ALL", "C")
        .env("PATH", search_path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => NftError::Missing,
            _ => NftError::Io(error),
        })?;
    on_process(child.id());
    let said = talk(&mut child, text);
    // Its end of file on the error stream means that it has ended, or is about to.
    let Some(said) = said else {
        // It may have ended just now: then there is nothing to kill.
        let _ = child.kill();
        child.wait()?;
        return Err(NftError::TimedOut);
    };
    if child.wait()?.success() {
        return Ok(());
    }
    Err(NftError::Refused { message: first_lines(&said) })
}

/// Writes the text and reads the errors, side by side; `None` where that takes too long.
fn talk(child: &mut Child, text: &str) -> Option<Vec<u8>> {
    let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
    let text = text.to_owned();
    thread::spawn(move || {
        if let Some(mut stdin) = stdin {
            // Where nft has given up reading, it says why on its error stream.
            let _ = stdin.write_all(text.as_bytes());
        }
    });
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut said = Vec::new();
        if let Some(mut stderr) = stderr {
            let _ = stderr.by_ref().take(MESSAGE_BYTES).read_to_end(&mut said);
            let _ = io::copy(&mut stderr, &mut io::sink());
        }
        // Nobody listens any more where the time ran out.
        let _ = sender.send(said);
    });
    receiver.recv_timeout(TIMEOUT).ok()
}

/// `PATH` with the places where `nft` lives: a service's path often lacks them.
fn search_path() -> OsString {
    let mut path = env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push("/usr/sbin:/sbin");
    path
}

fn first_lines(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said.trim_end().lines().take(MESSAGE_LINES).collect();
    if lines.is_empty() { "no reason given".to_owned() } else { lines.join("\n") }
}
