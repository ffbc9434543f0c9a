//! What is installed here, seen again from time to time: programs and their logs come and go while the daemon
//! runs.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use super::{Thread, gather, system};
use crate::features::watch::find;
use crate::shell::clock::Stopwatch;
use crate::shell::paths::Paths;

/// What was seen the last time.
#[derive(Default)]
pub(super) struct Installed {
    seen: Option<Vec<Seen>>,
}

/// A file or folder: which one it is, when it was written, and how long it is. Nothing of one that is not there.
type Seen = Option<(u64, i64, i64, u64)>;

impl Installed {
    /// Whether something is other than the last time. Looks at some dozens of paths, and reads none.
    pub(super) fn has_changed(&mut self, paths: &Paths) -> bool {
        let mut seen: Vec<Seen> = find::tells().map(|path| look(paths, path)).collect();
        seen.push(system::has_journal(paths).then_some((0, 0, 0, 0)));
        let has_changed = self.seen.as_ref().is_some_and(|before| *before != seen);
        self.seen = Some(seen);
        has_changed
    }
}

fn look(paths: &Paths, path: &str) -> Seen {
    let found = fs::metadata(paths.of_others(path)).ok()?;
    Some((found.ino(), found.mtime(), found.mtime_nsec(), found.size()))
}

impl Thread {
    /// Reads what was installed meanwhile as well. What is read by now is not disturbed.
    pub(super) fn find(&mut self) {
        self.found = Stopwatch::start();
        if !self.installed.has_changed(&self.paths) {
            return;
        }
        let Some(config) = &self.config else { return };
        let gathered = gather::all(&self.paths, config);
        let now = self.clock.now();
        let mut notices = Vec::new();
        for mut source in gathered.files {
            if let Some(known) = self.sources.iter_mut().find(|it| it.path == source.path) {
                known.lines.read_as(source.lines.how);
                continue;
            }
            notices.extend(source.begin(&[], now, &self.notifier, now));
            source.tend(&self.notifier, &self.trusted);
            self.sources.push(source);
            self.has_changed = true;
        }
        self.superseded = gathered.superseded;
        self.journal.read_also(gathered.journal, now);
        self.managers.listen_to(gathered.managers, self.moment(now));
        self.tell_all(notices);
    }
}
