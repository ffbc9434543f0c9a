//! What the kernel tells of files that are written and folders that change (inotify).

use std::ffi::OsString;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// How many bytes of events are read at once: an event with the longest name fits many times.
const BUFFER: usize = 64 * 1024;

/// The number of a watched file or folder. The same file has the same number, however often it is watched.
pub(super) type Watched = i32;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// A file was written or truncated.
    Written(Watched),
    /// A name in a folder was made, removed or renamed; without a name, the folder itself.
    Renamed(Watched, Option<OsString>),
    /// There was more than the kernel keeps: everything may have changed.
    Everything,
}

/// The kernel's notifications.
pub(super) struct Notifier {
    inotify: OwnedFd,
    buffer: Box<[MaybeUninit<u8>]>,
}

impl Notifier {
    pub(super) fn new() -> rustix::io::Result<Notifier> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Notifier { inotify, buffer: vec![MaybeUninit::uninit(); BUFFER].into_boxed_slice() })
    }

    /// Watches an open file, whatever its name leads to by now.
    pub(super) fn watch_file(&self, file: BorrowedFd<'_>) -> rustix::io::Result<Watched> {
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        inotify::add_watch(&self.inotify, path, WatchFlags::MODIFY)
    }

    /// Watches the names of a folder.
    pub(super) fn watch_folder(&self, folder: &Path) -> rustix::io::Result<Watched> {
        let flags = WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        inotify::add_watch(&self.inotify, folder, flags)
    }

    /// Watches it no longer. It may be gone already.
    pub(super) fn forget(&self, watched: Watched) {
        let _ = inotify::remove_watch(&self.inotify, watched);
    }

    /// Shows all that happened since the last time, without waiting.
    pub(super) fn drain(&mut self, mut seen: impl FnMut(Seen)) {
        let mut reader = Reader::new(&self.inotify, &mut self.buffer);
        loop {
            match reader.next() {
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => {
                    seen(Seen::Everything);
                }
                Ok(event) if event.events().contains(ReadFlags::IGNORED) => {}
                Ok(event) if event.events().contains(ReadFlags::MODIFY) => {
                    seen(Seen::Written(event.wd()));
                }
                Ok(event) => {
                    let name = event
                        .file_name()
                        .map(|name| std::ffi::OsStr::from_bytes(name.to_bytes()).to_os_string());
                    seen(Seen::Renamed(event.wd(), name));
                }
                Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

impl AsFd for Notifier {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
