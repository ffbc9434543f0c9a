//! Random bytes from the kernel, the files of cards, and the terminal.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, IsTerminal as _, Read, Write as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nightlatch_core::secret::{Entropy, Secret};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, open, openat, unlinkat};
use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::shell::outcome::{Code, Failure};

/// Random bytes for one request; none if the kernel gives none.
pub(super) fn entropy() -> Entropy {
    let mut bytes = vec![0; Entropy::LENGTH];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match getrandom(rest, GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(_) => return Entropy::default(),
        }
    }
    Entropy::new(bytes)
}

/// The most bytes that are read of a user agent: more than it may have.
const MAX_AGENT: u64 = 1000;

/// A secret user agent from a file, or from standard input (`-`): on the command line it would be seen in
/// the list of processes.
///
/// # Errors
/// It cannot be read, or is no text.
pub(super) fn read_agent(path: &Path) -> Result<Secret<String>, Failure> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().take(MAX_AGENT).read_to_string(&mut text),
        _ => File::open(path).and_then(|file| file.take(MAX_AGENT).read_to_string(&mut text)),
    };
    match read {
        Ok(_) => Ok(Secret::new(text)),
        Err(error) => {
            let what = format!("the user agent cannot be read from {}: {error}", path.display());
            Err(Failure::new(Code::Usage, what))
        }
    }
}

/// A file for a card: new, for nobody else to read, and gone again unless it is written.
#[derive(Debug)]
pub(super) struct CardFile {
    folder: OwnedFd,
    name: OsString,
    file: File,
    path: PathBuf,
    is_written: bool,
}

impl CardFile {
    /// Makes it.
    ///
    /// # Errors
    /// There is something of this name already, even a link to nowhere; the folder does not exist, or
    /// anybody may replace files in it.
    pub(super) fn create(path: &Path) -> Result<CardFile, Failure> {
        let wrong = |what: &str| {
            let what = format!("the card cannot be written to {}: {what}", path.display());
            Failure::new(Code::Usage, what)
        };
        let name = path.file_name().ok_or_else(|| wrong("it is not the name of a file"))?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder = open(parent, flags, Mode::empty()).map_err(|error| wrong(&explain(error)))?;
        let mode =
            Mode::from_raw_mode(fstat(&folder).map_err(|error| wrong(&explain(error)))?.st_mode);
        if mode.contains(Mode::WOTH) && !mode.contains(Mode::SVTX) {
            return Err(wrong("anybody may replace files in this folder: use another one"));
        }
        let flags =
            OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = openat(&folder, name, flags, Mode::RUSR | Mode::WUSR);
        let file = File::from(file.map_err(|error| wrong(&explain(error)))?);
        let (name, path) = (name.to_owned(), path.to_owned());
        Ok(CardFile { folder, name, file, path, is_written: false })
    }

    /// Writes the card; it stays.
    ///
    /// # Errors
    /// The disk fails or is full; then the file is removed.
    pub(super) fn write(mut self, text: &str) -> Result<PathBuf, Failure> {
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_all());
        if let Err(error) = written {
            return Err(Failure::failed(format!(
                "the card cannot be written to {}: {error}; it counts as shown: free disk space, then add --again",
                self.path.display()
            )));
        }
        self.is_written = true;
        Ok(std::mem::take(&mut self.path))
    }
}

impl Drop for CardFile {
    fn drop(&mut self) {
        if !self.is_written {
            let _ = unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}

fn explain(error: Errno) -> String {
    match std::io::Error::from(error).kind() {
        ErrorKind::AlreadyExists => {
            "there is something of this name already, and nothing is overwritten: use another name"
                .to_owned()
        }
        ErrorKind::NotFound => "there is no such folder".to_owned(),
        _ => std::io::Error::from(error).to_string(),
    }
}

/// How many characters a line of the terminal has; `None` where standard output is no terminal.
pub(super) fn terminal_width() -> Option<usize> {
    let output = std::io::stdout();
    let size = rustix::termios::tcgetwinsize(&output).ok().filter(|_| output.is_terminal())?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Whether standard output is a file that others may read: a shell made it with `>`.
pub(super) fn output_is_public() -> bool {
    fstat(std::io::stdout()).is_ok_and(|found| {
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        is_file && Mode::from_raw_mode(found.st_mode).intersects(Mode::RWXG | Mode::RWXO)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn random_bytes_differ() {
        let (one, other) = (entropy(), entropy());
        assert_ne!(one, other);
        assert_eq!(one.draw().bytes(Entropy::LENGTH).unwrap().len(), 1024);
    }

    #[test]
    fn a_card_file_is_new_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let written = CardFile::create(&at("card")).unwrap().write("text").unwrap();
        assert_eq!(written, at("card"));
        assert_eq!(std::fs::read_to_string(&written).unwrap(), "text");
        assert_eq!(std::fs::metadata(&written).unwrap().mode() & 0o7777, 0o600);

        std::fs::write(at("there"), "mine").unwrap();
        symlink(at("there"), at("link")).unwrap();
        symlink(at("nowhere"), at("dangling")).unwrap();
        symlink(at("there"), at("folder-link")).unwrap();
        for (name, expected) in [
            ("card", "nothing is overwritten"),
            ("there", "nothing is overwritten"),
            ("link", "nothing is overwritten"),
            ("dangling", "nothing is overwritten"),
            ("folder-link/card", "Not a directory"),
            ("none/card", "there is no such folder"),
            ("..", "not the name of a file"),
        ] {
            let failure = CardFile::create(&at(name)).unwrap_err();
            assert!(failure.message.contains(expected), "{name}: {failure}");
            assert_eq!(failure.code, Code::Usage);
        }
        assert_eq!(std::fs::read_to_string(at("there")).unwrap(), "mine");
        assert!(!at("nowhere").exists());
    }

    #[test]
    fn a_card_file_that_is_not_written_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("card");
        let file = CardFile::create(&path).unwrap();
        assert!(path.exists());
        drop(file);
        assert!(!path.exists());
    }

    #[test]
    fn no_card_where_anybody_may_replace_it() {
        let folder = tempfile::tempdir().unwrap();
        let mode =
            |mode| std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(mode));
        mode(0o777).unwrap();
        let failure = CardFile::create(&folder.path().join("card")).unwrap_err();
        assert!(failure.message.contains("anybody may replace files"), "{failure}");
        mode(0o1777).unwrap();
        CardFile::create(&folder.path().join("card")).unwrap();
    }
}
