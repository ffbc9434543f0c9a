//! A log file that is open: read by blocks of whole lines, from a position that is checked each time.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nightlatch_core::features::watch::Unreadable;
use nightlatch_parse::log::MAX_LINE;
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open};
use rustix::io::{Errno, pread};
use sha2::{Digest as _, Sha256};

/// How many bytes before the position are compared with what was there when they were read: more than a line,
/// because ends of lines may be equal.
const TAIL: usize = 512;
/// How many bytes are read at once, besides these.
const BLOCK: usize = 256 * 1024;

/// Which file it is, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// How far a file was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) id: Id,
    /// Everything before this byte was read.
    pub(super) offset: u64,
    /// A hash of the bytes before it: a file with others there is another file.
    pub(super) hash: [u8; 32],
    /// Whether the rest of a line that is too long is left out.
    pub(super) in_long_line: bool,
}

/// Why a file is not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OpenError {
    Missing,
    Unreadable(Unreadable),
}

/// A log file that is open.
#[derive(Debug)]
pub(super) struct LogFile {
    file: OwnedFd,
    id: Id,
    offset: u64,
    tail: Vec<u8>,
    in_long_line: bool,
}

/// What was read.
pub(super) enum Block<'a> {
    /// Whole lines, each with its end; none if there is no whole line yet.
    Lines {
        lines: &'a [u8],
        /// Whether nothing else stands in the file by now, but perhaps the beginning of a line.
        is_end: bool,
        /// How many lines were too long, and left out.
        too_long: u64,
    },
    /// What was read is no longer in the file.
    Truncated,
}

/// Room for a block.
pub(super) fn buffer() -> Vec<u8> {
    vec![0; TAIL + BLOCK]
}

impl LogFile {
    /// Opens a regular file, at its beginning. Nothing else is opened: a link may lead anywhere, and a
    /// pipe would block.
    pub(super) fn open(path: &Path) -> Result<LogFile, OpenError> {
        let failed = |errno: Errno| {
            let error = std::io::Error::from(errno).to_string();
            OpenError::Unreadable(Unreadable::Failed { error })
        };
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match open(path, flags | OFlags::NOCTTY, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT | Errno::NOTDIR) => return Err(OpenError::Missing),
            Err(Errno::LOOP) => return Err(OpenError::Unreadable(Unreadable::Symlink)),
            // A socket, or a device that is not there.
            Err(Errno::NXIO | Errno::NODEV) => {
                return Err(OpenError::Unreadable(Unreadable::NoFile));
            }
            Err(errno) => return Err(failed(errno)),
        };
        let found = fstat(&file).map_err(failed)?;
        if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
            return Err(OpenError::Unreadable(Unreadable::NoFile));
        }
        let id = Id { device: found.st_dev, inode: found.st_ino };
        Ok(LogFile { file, id, offset: 0, tail: Vec::new(), in_long_line: false })
    }

    pub(super) fn id(&self) -> Id {
        self.id
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Owner, mode, size.
    pub(super) fn stat(&self) -> Option<Stat> {
        fstat(&self.file).ok()
    }

    /// How many bytes it has.
    pub(super) fn size(&self) -> u64 {
        self.stat().and_then(|found| u64::try_from(found.st_size).ok()).unwrap_or(0)
    }

    /// Leaves out all but the last so many bytes, and the line in which these begin.
    pub(super) fn go_back_from_end(&mut self, bytes: u64) {
        let offset = self.size().saturating_sub(bytes);
        self.go_to(offset);
        self.in_long_line = self.tail.last().is_some_and(|last| *last != b'\n');
    }

    /// Reads it from its beginning.
    pub(super) fn go_to_beginning(&mut self) {
        self.offset = 0;
        self.tail.clear();
        self.in_long_line = false;
    }

    fn go_to(&mut self, offset: u64) {
        self.offset = offset;
        self.tail = self.bytes_before(offset).unwrap_or_default();
    }

    /// Goes on where it was read before, if it has the same bytes before that.
    pub(super) fn resume(&mut self, position: &Position) -> bool {
        let tail = self.bytes_before(position.offset);
        let Some(tail) = tail.filter(|tail| hash(tail) == position.hash) else { return false };
        self.offset = position.offset;
        self.tail = tail;
        self.in_long_line = position.in_long_line;
        true
    }

    /// How far it was read.
    pub(super) fn position(&self) -> Position {
        Position {
            id: self.id,
            offset: self.offset,
            hash: hash(&self.tail),
            in_long_line: self.in_long_line,
        }
    }

    /// The last bytes before a place; `None` where the file is shorter.
    fn bytes_before(&self, offset: u64) -> Option<Vec<u8>> {
        let length = usize::try_from(offset).unwrap_or(usize::MAX).min(TAIL);
        let mut tail = vec![0; length];
        let from = offset.saturating_sub(u64::try_from(length).unwrap_or(0));
        let read = read_at(&self.file, &mut tail, from).ok()?;
        (read == length).then_some(tail)
    }

    /// Reads the next block. The bytes before it are read again: they tell whether it is still the same
    /// text.
    pub(super) fn read<'a>(&mut self, buffer: &'a mut [u8]) -> rustix::io::Result<Block<'a>> {
        let before = self.tail.len();
        let from = self.offset.saturating_sub(u64::try_from(before).unwrap_or(0));
        let room = buffer.len();
        let read = read_at(&self.file, buffer, from)?;
        let buffer: &'a [u8] = buffer;
        let all = buffer.get(..read).unwrap_or_default();
        if all.get(..before) != Some(self.tail.as_slice()) {
            return Ok(Block::Truncated);
        }
        let new = all.get(before..).unwrap_or_default();
        let is_end = read < room;
        let skipped = self.leave_out(new);
        let rest = new.get(skipped..).unwrap_or_default();
        let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines = rest.get(..whole).unwrap_or_default();
        let mut consumed = skipped + whole;
        let is_too_long = new.len() - consumed > MAX_LINE;
        if is_too_long {
            consumed = new.len();
            self.in_long_line = true;
        }
        self.advance(all, before + consumed, consumed);
        Ok(Block::Lines { lines, is_end, too_long: is_too_long.into() })
    }

    /// How many bytes at the beginning are no line: the rest of one that is too long, and the zeros that
    /// stand where a program goes on writing into an emptied file.
    fn leave_out(&mut self, new: &[u8]) -> usize {
        let mut skipped = 0;
        if self.in_long_line {
            let end = new.iter().position(|byte| *byte == b'\n');
            self.in_long_line = end.is_none();
            skipped = end.map_or(new.len(), |at| at + 1);
        }
        skipped + new.iter().skip(skipped).take_while(|byte| **byte == 0).count()
    }

    fn advance(&mut self, all: &[u8], end: usize, consumed: usize) {
        if consumed == 0 {
            return;
        }
        self.offset = self.offset.saturating_add(u64::try_from(consumed).unwrap_or(0));
        let tail = all.get(end.saturating_sub(TAIL)..end).unwrap_or_default();
        self.tail.clear();
        self.tail.extend_from_slice(tail);
    }
}

impl AsFd for LogFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn hash(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Reads what fits; of a regular file, less than that is its end.
fn read_at(file: &OwnedFd, buffer: &mut [u8], from: u64) -> rustix::io::Result<usize> {
    loop {
        match pread(file, &mut *buffer, from) {
            Err(Errno::INTR) => {}
            done => return done,
        }
    }
}
