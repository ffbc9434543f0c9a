//! A log that is followed by its name, however it is rotated.

use std::collections::VecDeque;
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nightlatch_core::detect::Finding;
use nightlatch_core::features::watch::{Notice, Source, SourceState, Unreadable, WhyLow};
use nightlatch_core::time::Time;

use super::file::{Block, LogFile, OpenError, Position};
use super::notify::{Notifier, Watched};
use super::rotated;
use crate::features::watch::intake::{Intake, LineReader, Onlooker, Written};
use crate::features::watch::trust::{Access, Trusted, trust};
use crate::shell::clock::Stopwatch;

/// For how long a file is still read after another one has its name: programs write into it until they
/// are told to open the new one.
const KEPT_OPEN: Duration = Duration::from_secs(300);
/// How many such files.
const MAX_OLDER: usize = 8;
/// How much is read of a log that is seen for the first time, in bytes: it tells who has logged in before.
const HISTORY: u64 = 4 << 20;
/// What was found out there counts if it is not older than this.
const STILL_COUNTS: Duration = Duration::from_secs(600);

/// A log that is followed.
pub(super) struct FileSource {
    pub(super) path: PathBuf,
    pub(super) lines: LineReader,
    pub(super) is_configured: bool,
    pub(super) state: SourceState,
    why_low: Option<WhyLow>,
    since: Option<Time>,
    current: Option<Open>,
    /// What had its name before, the oldest first.
    older: VecDeque<Open>,
    folder: Option<Folder>,
}

struct Folder {
    watched: Watched,
    /// Whether it is the folder of the log, not one above that.
    is_its_own: bool,
}

struct Open {
    file: LogFile,
    watched: Option<Watched>,
    /// Whether there may be something to read.
    is_dirty: bool,
    /// Not before this was written what is read next.
    from: Time,
    /// The length up to which it was seen.
    seen: u64,
    /// Up to which place it was written before it was seen for the first time.
    history: u64,
    /// Since when another file has its name.
    replaced: Option<Stopwatch>,
}

/// Where a file begins to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// At its beginning: it was made while it was waited for.
    Beginning,
    /// At its end, but for what its past tells.
    End,
}

impl Open {
    fn new(file: LogFile, notifier: &Notifier, from: Time) -> Open {
        let watched = notifier.watch_file(file.as_fd()).ok();
        Open { file, watched, is_dirty: true, from, seen: 0, history: 0, replaced: None }
    }

    /// It may have been written, not before `now`.
    fn touch(&mut self, now: Time) {
        if !self.is_dirty {
            self.is_dirty = true;
            self.from = now;
        }
    }
}

impl FileSource {
    pub(super) fn new(path: PathBuf, lines: LineReader, is_configured: bool) -> FileSource {
        FileSource {
            path,
            lines,
            is_configured,
            state: SourceState::Missing,
            why_low: None,
            since: None,
            current: None,
            older: VecDeque::new(),
            folder: None,
        }
    }

    /// Begins to follow it: where it was left at some moment, if that is known.
    pub(super) fn begin(
        &mut self,
        left: &[Position],
        left_at: Time,
        notifier: &Notifier,
        now: Time,
    ) -> Option<Notice> {
        self.watch_folder(notifier);
        let Some(newest) = left.last() else { return self.look(Begin::End, notifier, now) };
        self.since = Some(now);
        let (mut current, mut notice) = match LogFile::open(&self.path) {
            Ok(file) => (Some(file), None),
            Err(error) => (None, self.cannot_open(error, notifier)),
        };
        let goes_on = |file: &mut LogFile| {
            left.iter().any(|position| file.id() == position.id && file.resume(position))
        };
        let has_gone_on = current.as_mut().is_some_and(goes_on);
        let id = current.as_ref().map(LogFile::id);
        for position in left.iter().filter(|position| Some(position.id) != id || !has_gone_on) {
            let mut rest = rotated::rest_of(&self.path, position);
            if has_gone_on || position != newest {
                rest.truncate(1);
            } else if rest.is_empty() && position.offset > 0 {
                notice = Some(self.lines_lost(None));
            }
            for file in rest {
                let is_open = |open: &Open| open.file.id() == file.id();
                if Some(file.id()) != id && !self.older.iter().any(is_open) {
                    self.push_older(Open::new(file, notifier, left_at), notifier);
                }
            }
        }
        if let Some(file) = current {
            self.state = SourceState::Read;
            self.current = Some(Open::new(file, notifier, left_at));
        }
        notice
    }

    /// Looks at which file has its name now.
    pub(super) fn look(&mut self, begin: Begin, notifier: &Notifier, now: Time) -> Option<Notice> {
        if !self.folder.as_ref().is_some_and(|folder| folder.is_its_own) {
            self.watch_folder(notifier);
        }
        let mut file = match LogFile::open(&self.path) {
            Ok(file) => file,
            Err(error) => return self.cannot_open(error, notifier),
        };
        self.state = SourceState::Read;
        if self.current.as_ref().is_some_and(|open| open.file.id() == file.id()) {
            return None;
        }
        self.since.get_or_insert(now);
        let mut history = 0;
        if begin == Begin::End && self.current.is_none() && self.older.is_empty() {
            history = file.size();
            file.go_back_from_end(HISTORY);
        }
        // A file that had this name before has it again.
        if let Some(at) = self.older.iter().position(|open| open.file.id() == file.id()) {
            let again = self.older.remove(at);
            self.replace(notifier);
            self.current = again.map(|open| Open { replaced: None, ..open });
            return None;
        }
        self.replace(notifier);
        self.current = Some(Open { history, ..Open::new(file, notifier, now) });
        None
    }

    /// The file that has its name has it no longer.
    fn replace(&mut self, notifier: &Notifier) {
        if let Some(mut open) = self.current.take() {
            open.replaced = Some(Stopwatch::start());
            // The last lines may have come just before.
            open.is_dirty = true;
            self.push_older(open, notifier);
        }
    }

    fn push_older(&mut self, mut open: Open, notifier: &Notifier) {
        open.replaced.get_or_insert_with(Stopwatch::start);
        self.older.push_back(open);
        while self.older.len() > MAX_OLDER {
            close(self.older.pop_front(), notifier);
        }
    }

    fn cannot_open(&mut self, error: OpenError, notifier: &Notifier) -> Option<Notice> {
        match error {
            OpenError::Missing => {
                // It was renamed: until there is another one, programs write into it.
                if self.current.is_none() {
                    self.state = SourceState::Missing;
                }
                None
            }
            OpenError::Unreadable(why) => {
                self.replace(notifier);
                let state = SourceState::Unreadable(why.clone());
                let is_new = self.state != state;
                self.state = state;
                is_new.then(|| Notice::NotRead { log: self.lines.log.clone(), why })
            }
        }
    }

    fn lines_lost(&mut self, bytes: Option<u64>) -> Notice {
        self.lines.counts.lost = self.lines.counts.lost.saturating_add(bytes.unwrap_or(0));
        Notice::LinesLost { log: self.lines.log.clone(), bytes }
    }

    /// Watches the folder in which it is; the nearest one above, where that does not exist.
    fn watch_folder(&mut self, notifier: &Notifier) {
        for (above, folder) in self.path.ancestors().skip(1).enumerate() {
            if let Ok(watched) = notifier.watch_folder(folder) {
                self.folder = Some(Folder { watched, is_its_own: above == 0 });
                return;
            }
        }
        self.folder = None;
    }

    /// A name was made, removed or renamed in a watched folder. Tells whether it may be this log's.
    pub(super) fn concerns(&self, watched: Watched, name: Option<&std::ffi::OsStr>) -> bool {
        let folder = self.folder.as_ref().filter(|folder| folder.watched == watched);
        folder.is_some_and(|folder| match name {
            Some(name) if folder.is_its_own => self.path.file_name() == Some(name),
            _ => true,
        })
    }

    /// The folder may be another one by now.
    pub(super) fn forget_folder(&mut self, watched: Watched) {
        if self.folder.as_ref().is_some_and(|folder| folder.watched == watched) {
            self.folder = None;
        }
    }

    /// A file was written, not before `now`.
    pub(super) fn written(&mut self, watched: Watched, now: Time) {
        let all = self.older.iter_mut().chain(&mut self.current);
        all.filter(|open| open.watched == Some(watched)).for_each(|open| open.touch(now));
    }

    /// All of its files may have been written.
    pub(super) fn touch(&mut self, now: Time) {
        self.older.iter_mut().chain(&mut self.current).for_each(|open| open.touch(now));
    }

    /// Whether there may be something to read.
    pub(super) fn is_dirty(&self) -> bool {
        self.older.iter().chain(&self.current).any(|open| open.is_dirty)
    }

    /// Reads one block of the oldest file in which there may be something.
    pub(super) fn read(
        &mut self,
        buffer: &mut [u8],
        now: Time,
        intake: &mut Intake,
        notifier: &Notifier,
        onlooker: &mut impl Onlooker,
    ) -> Option<Notice> {
        let at = self.older.iter().position(|open| open.is_dirty);
        let open = match at {
            Some(at) => self.older.get_mut(at)?,
            None => self.current.as_mut().filter(|open| open.is_dirty)?,
        };
        let is_history = open.file.offset() < open.history;
        match open.file.read(buffer) {
            Ok(Block::Lines { lines, is_end, too_long }) => {
                open.seen = open.file.offset();
                if is_end {
                    open.is_dirty = false;
                } else {
                    open.seen = open.file.size();
                }
                self.lines.counts.too_long += too_long;
                if !lines.is_empty() && !is_history {
                    self.lines.counts.last_line = Some(now);
                }
                let first = intake.found.len();
                let written = match is_history {
                    true => Written::Before(now),
                    false => Written::Between(open.from, now),
                };
                self.lines.take(lines, written, intake, onlooker);
                if is_history {
                    // An attack that ended long ago ends here, and is no news.
                    intake.judge.pass(now, &mut intake.found);
                    leave_out_past(&mut intake.found, first, now);
                }
                None
            }
            Ok(Block::Truncated) => self.truncated(at, notifier),
            Err(errno) => {
                open.is_dirty = false;
                let error = std::io::Error::from(errno).to_string();
                let why = Unreadable::Failed { error };
                let state = SourceState::Unreadable(why.clone());
                let is_new = self.state != state;
                self.state = state;
                is_new.then(|| Notice::NotRead { log: self.lines.log.clone(), why })
            }
        }
    }

    /// What was read is no longer in a file: it was emptied, and begins anew. What was not read yet is in
    /// a copy, or lost.
    fn truncated(&mut self, at: Option<usize>, notifier: &Notifier) -> Option<Notice> {
        let open = match at {
            Some(at) => self.older.get_mut(at)?,
            None => self.current.as_mut()?,
        };
        let position = open.file.position();
        let (from, unread) = (open.from, open.seen.saturating_sub(open.file.offset()));
        open.file.go_to_beginning();
        open.seen = 0;
        open.history = 0;
        let id = open.file.id();
        let mut rest = rotated::rest_of(&self.path, &position);
        rest.truncate(1);
        rest.retain(|file| file.id() != id);
        if let Some(file) = rest.pop() {
            // Before the log itself is read on.
            self.push_older(Open::new(file, notifier, from), notifier);
            return None;
        }
        (unread > 0).then(|| self.lines_lost(Some(unread)))
    }

    /// Looks after what nobody tells: files that are no longer written, and other owners.
    pub(super) fn tend(&mut self, notifier: &Notifier, trusted: &Trusted) {
        let is_over = |open: &Open| {
            !open.is_dirty && open.replaced.is_some_and(|since| since.elapsed() >= KEPT_OPEN)
        };
        while self.older.front().is_some_and(is_over) {
            close(self.older.pop_front(), notifier);
        }
        let file = self.current.as_ref().and_then(|open| open.file.stat());
        let Some(file) = file else { return };
        let folders: Vec<Access> = self.path.ancestors().skip(1).map_while(access).collect();
        let file = Access { uid: file.st_uid, gid: file.st_gid, mode: file.st_mode };
        self.why_low = trusted.why_low(file, &folders);
        self.lines.trust = trust(self.why_low.as_ref());
    }

    /// How far each of its files was read, the oldest first.
    pub(super) fn positions(&self) -> Vec<Position> {
        self.older.iter().chain(&self.current).map(|open| open.file.position()).collect()
    }

    /// Before this, all was read that was written by `now`.
    pub(super) fn read_until(&self, now: Time) -> Time {
        let unread = self.older.iter().chain(&self.current).filter(|open| open.is_dirty);
        unread.map(|open| open.from).fold(now, Time::min)
    }

    /// Whether its past is being read: that cannot be continued later.
    pub(super) fn is_in_past(&self) -> bool {
        self.current.as_ref().is_some_and(|open| open.file.offset() < open.history)
    }

    pub(super) fn close(&mut self, notifier: &Notifier) {
        close(self.current.take(), notifier);
        self.older.drain(..).for_each(|open| close(Some(open), notifier));
    }

    /// How it stands.
    pub(super) fn standing(&self) -> Source {
        let counts = self.lines.counts;
        let by_syslog = self.lines.has_syslog.then_some(WhyLow::Syslog);
        let why_low = self.why_low.clone().or(by_syslog);
        Source {
            log: self.lines.log.clone(),
            format: self.lines.format(),
            thresholds: self.lines.how.thresholds(),
            is_configured: self.is_configured,
            state: self.state.clone(),
            trust: trust(why_low.as_ref()),
            why_low,
            lines: counts.lines,
            attempts: counts.attempts,
            doubtful: counts.doubtful,
            too_long: counts.too_long,
            given_up: self.lines.how.given_up(),
            lost: counts.lost,
            gaps: 0,
            gap_seconds: 0,
            since: self.since,
            last_line: counts.last_line,
            last_attempt: counts.last_attempt,
        }
    }
}

fn close(open: Option<Open>, notifier: &Notifier) {
    if let Some(watched) = open.and_then(|open| open.watched) {
        notifier.forget(watched);
    }
}

/// Of what the past of a log tells, only attacks count that go on.
fn leave_out_past(found: &mut Vec<Finding>, first: usize, now: Time) {
    let past = found.split_off(first.min(found.len()));
    found.extend(past.into_iter().filter(|finding| match finding {
        Finding::Attack(attack) => now.since(attack.evidence.last) < STILL_COUNTS,
        Finding::Notice(_) => false,
    }));
}

fn access(folder: &Path) -> Option<Access> {
    let found = std::fs::metadata(folder).ok()?;
    Some(Access { uid: found.uid(), gid: found.gid(), mode: found.mode() })
}
