//! The terminal's end of the live view.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixStream;

use crate::features::watch::seen::Seen;
use crate::shell::outcome::{Code, Failure};
use crate::shell::paths::Paths;
use crate::shell::{client, screen};

/// The longest line of the daemon.
const MAX_LINE: u64 = 64 * 1024;

/// A connection with the daemon, which tells of attempts as they come.
pub(in crate::features::watch) struct Viewing(BufReader<UnixStream>);

impl Viewing {
    /// Begins to look on.
    ///
    /// # Errors
    /// The daemon does not run.
    pub(in crate::features::watch) fn begin(paths: &Paths) -> Result<Viewing, Failure> {
        let path = paths.watch_socket();
        let stream =
            UnixStream::connect(&path).map_err(|error| client::not_running(&path, &error))?;
        Ok(Viewing(BufReader::new(stream)))
    }

    /// Shows attempts as they come, until nobody reads them, or the daemon ends.
    ///
    /// # Errors
    /// The daemon has ended.
    pub(in crate::features::watch) fn follow(
        mut self,
        mut show: impl FnMut(&Seen),
    ) -> Result<(), Failure> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = self.0.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
            if !read.is_ok_and(|read| read > 0) {
                return Err(Failure::new(
                    Code::NotRunning,
                    "the daemon has ended, or this terminal was too slow: run \"nightlatch watch\" again",
                ));
            }
            if let Ok(seen) = serde_json::from_slice(&line) {
                show(&seen);
            }
            if screen::nobody_listens() {
                return Ok(());
            }
        }
    }
}
