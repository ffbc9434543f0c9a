//! Which file descriptors programs that this process starts inherit.

#![expect(
    unsafe_code,
    reason = "close_range has no safe interface in the crates that are used here"
)]

use std::io;

/// The first descriptor that is neither standard input nor an output.
const FIRST: libc::c_uint = 3;

/// Marks all open file descriptors but 0, 1 and 2 as not to be inherited by programs. The standard
/// library marks those that it opens; this is for those that this process itself inherited.
///
/// # Errors
/// The kernel is older than 5.11.
pub fn close_on_exec() -> io::Result<()> {
    // SAFETY: it takes numbers only. It closes nothing in this process: with this flag, it sets a flag
    // of each descriptor, which changes only what another program gets by `execve`.
    let result = unsafe {
        libc::syscall(libc::SYS_close_range, FIRST, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
