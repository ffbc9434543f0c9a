//! Leaving the terminal, so that a process outlives the session that started it.

/// Leaves the terminal. It fails only for the leader of a process group, which has left already.
pub fn from_terminal() {
    let _ = rustix::process::setsid();
}
