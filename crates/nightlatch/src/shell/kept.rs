//! What lists hold, kept in the state folder, so that a restart needs no network.
//!
//! Plain text, one range a line, each list in a file of the folder `lists`. The first line is `# `
//! and, as JSON, what version of which source it is. A file is written beside the
//! old one and takes its place whole.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use nightlatch_core::action::Level;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::journal;
use super::paths::Paths;

/// The longest line that is read: the first one names up to some hundred files.
const MAX_LINE_LEN: usize = 256 * 1024;

/// The folder of kept lists.
#[derive(Clone, Debug)]
pub struct Kept {
    folder: PathBuf,
}

impl Kept {
    /// The lists kept in the state folder.
    pub fn of(paths: &Paths) -> Kept {
        Kept { folder: paths.state_dir.join("lists") }
    }

    /// The lists kept within a folder, for tests.
    #[cfg(test)]
    pub(crate) fn within(folder: &Path) -> Kept {
        Kept { folder: folder.join("lists") }
    }

    /// The names of the files, none where the folder cannot be read.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    }

    /// Forgets a file.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn remove(&self, name: &str) -> std::io::Result<()> {
        match fs::remove_file(self.folder.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Keeps lines behind a head in a file of that name.
    ///
    /// # Errors
    /// The disk fails or is full; the old file is whole then.
    pub(crate) fn write(
        &self,
        name: &str,
        head: &impl Serialize,
        lines: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(name);
        let beside = path.with_extension("new");
        let mut file = BufWriter::with_capacity(64 * 1024, File::create(&beside)?);
        writeln!(file, "# {}", serde_json::to_string(head)?)?;
        lines(&mut file)?;
        file.into_inner()?.sync_all()?;
        fs::rename(&beside, &path)?;
        sync_folder(&self.folder)
    }

    /// Takes in the lines of a file, and returns its head.
    ///
    /// # Errors
    /// There is none, or it is damaged: a line is not taken.
    pub(crate) fn read<H: DeserializeOwned>(
        &self,
        name: &str,
        mut take: impl FnMut(&str) -> Option<()>,
    ) -> std::io::Result<H> {
        let mut file = BufReader::with_capacity(64 * 1024, File::open(self.folder.join(name))?);
        let mut line = Vec::new();
        let first = next_line(&mut file, &mut line)?.and_then(|line| line.strip_prefix("# "));
        let head = first.and_then(|head| serde_json::from_str(head).ok());
        let head = head.ok_or_else(|| damaged(name, &String::from_utf8_lossy(&line)))?;
        while let Some(text) = next_line(&mut file, &mut line)? {
            take(text).ok_or_else(|| damaged(name, text))?;
        }
        Ok(head)
    }
}

/// The next line without its end; `None` behind the last.
fn next_line<'a>(
    file: &mut impl BufRead,
    line: &'a mut Vec<u8>,
) -> std::io::Result<Option<&'a str>> {
    line.clear();
    std::io::Read::take(file, MAX_LINE_LEN as u64).read_until(b'\n', line)?;
    if line.is_empty() {
        return Ok(None);
    }
    let text = std::str::from_utf8(line)
        .map_err(|error| std::io::Error::new(ErrorKind::InvalidData, error))?;
    Ok(Some(text.trim_end_matches('\n')))
}

fn damaged(name: &str, line: &str) -> std::io::Error {
    let shown: String = line.chars().take(60).collect();
    std::io::Error::new(ErrorKind::InvalidData, format!("{name} is damaged: \"{shown}\""))
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// What was kept of a list, if anything. `what` is what the journal calls it.
pub(crate) fn read_kept<T>(what: &str, read: std::io::Result<T>) -> Option<T> {
    match read {
        Ok(content) => Some(content),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => {
            journal::tell(Level::Warning, &format!("{what}: {error}"));
            None
        }
    }
}
