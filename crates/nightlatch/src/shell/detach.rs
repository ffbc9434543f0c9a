//! Leaving the terminal, so that a process outlives the session that started it.

use std::process::Child;
use std::time::Duration;

/// Leaves the terminal. It fails only for the leader of a process group, which has left already.
pub fn from_terminal() {
    let _ = rustix::process::setsid();
}

/// Waits, a second at most, until a child has done so or has ended: if this process exits before that, the
/// child is terminated together with the terminal.
pub fn wait_until_it_has_left(child: &Child) {
    const STEP: Duration = Duration::from_millis(5);
    for _ in 0..200 {
        match session(child.id()) {
            Some(session) if session != child.id() => std::thread::sleep(STEP),
            _ => return,
        }
    }
}

/// The session of a process; 0 if its leader is not in our PID namespace, as in a container. `getsid`
/// has no value for that.
fn session(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // Behind the name, which can contain anything: state, parent, group, session.
    stat.rsplit_once(')')?.1.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_session_of_a_process() {
        let mut child = std::process::Command::new("setsid").args(["sleep", "9"]).spawn().unwrap();
        wait_until_it_has_left(&child);
        let found = session(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(found, Some(child.id()));
        assert_eq!(session(u32::MAX), None);
    }
}
