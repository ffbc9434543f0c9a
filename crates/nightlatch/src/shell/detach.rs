//! Leaving the terminal, so that a process outlives the session that started it.

use std::process::Child;
use std::time::Duration;

use rustix::process::{Pid, getsid};

/// Leaves the terminal. It fails only for the leader of a process group, which has left already.
pub fn from_terminal() {
    let _ = rustix::process::setsid();
}

/// Waits, a second at most, until a child has done so or has ended: who ends before it takes it
/// along with the terminal.
pub fn wait_until_it_has_left(child: &Child) {
    const STEP: Duration = Duration::from_millis(5);
    let process = Pid::from_child(child);
    for _ in 0..200 {
        match getsid(Some(process)) {
            Ok(session) if session != process => std::thread::sleep(STEP),
            _ => return,
        }
    }
}
