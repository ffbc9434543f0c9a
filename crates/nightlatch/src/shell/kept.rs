//! What lists hold, kept in the state folder, so that a restart needs no network.
//!
//! Plain text, one range a line, in `lists/NAME.list` and `lists/countries.table`. The first line
//! of each is `# ` and, as JSON, what version of which source it is. A file is written beside the
//! old one and takes its place whole.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nightlatch_core::AddrRange;
use nightlatch_core::action::Content;
use nightlatch_core::event::FetchedTable;
use nightlatch_core::lists::{FeedName, Version, Versions};
use nightlatch_core::time::Time;
use nightlatch_parse::country::{Builder, CountryCode};
use nightlatch_parse::ranges::RangeList;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::paths::Paths;

const TABLE: &str = "countries.table";
/// The longest line that is read: the first one names up to some hundred files.
const LONGEST_LINE: usize = 256 * 1024;

/// The folder of kept lists.
#[derive(Clone, Debug)]
pub struct Kept {
    folder: PathBuf,
}

/// What the first line of a table says.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct TableHead {
    taken: Option<Time>,
    versions: Versions,
    #[serde(skip_serializing_if = "Option::is_none")]
    tells_of: Option<BTreeSet<CountryCode>>,
}

impl Kept {
    /// The lists kept in the state folder.
    pub fn of(paths: &Paths) -> Kept {
        Kept { folder: paths.state_dir.join("lists") }
    }

    /// Keeps a list.
    ///
    /// # Errors
    /// The disk fails or is full; the old file is whole then.
    pub fn keep(&self, content: &Content) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        match content {
            Content::Feed(name, ranges, version) => self.write(&feed_file(name), version, |file| {
                ranges.iter().try_for_each(|range| writeln!(file, "{range}"))
            }),
            Content::Table(fetched) => {
                let head = TableHead {
                    taken: fetched.taken,
                    versions: fetched.versions.clone(),
                    tells_of: fetched.tells_of.clone(),
                };
                self.write(TABLE, &head, |file| {
                    fetched
                        .table
                        .iter()
                        .try_for_each(|(range, code)| writeln!(file, "{range} {code}"))
                })
            }
        }
    }

    /// Forgets a feed.
    ///
    /// # Errors
    /// The disk fails.
    pub fn forget(&self, name: &FeedName) -> std::io::Result<()> {
        match fs::remove_file(self.folder.join(feed_file(name))) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// What a feed held, and which version that was.
    ///
    /// # Errors
    /// There is none, or its file is damaged.
    pub fn feed(&self, name: &FeedName) -> std::io::Result<(RangeList, Version)> {
        let mut ranges = RangeList::new();
        let version = self.read(&feed_file(name), |line| {
            ranges.push(line.parse::<AddrRange>().ok()?);
            Some(())
        })?;
        ranges.merge();
        Ok((ranges, version))
    }

    /// The table of countries.
    ///
    /// # Errors
    /// There is none, or its file is damaged.
    pub fn table(&self) -> std::io::Result<FetchedTable> {
        let mut builder = Builder::new();
        let head: TableHead = self.read(TABLE, |line| {
            let (range, code) = line.split_once(' ')?;
            // Not by `parse`, which searches all names of countries.
            let code = CountryCode::new(code.as_bytes().try_into().ok()?)?;
            builder.add(range.parse().ok()?, code);
            Some(())
        })?;
        Ok(FetchedTable {
            table: Arc::new(builder.build()),
            tells_of: head.tells_of,
            versions: head.versions,
            taken: head.taken,
            notes: Vec::new(),
        })
    }

    fn write(
        &self,
        name: &str,
        head: &impl Serialize,
        lines: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let path = self.folder.join(name);
        let beside = path.with_extension("new");
        let mut file = BufWriter::with_capacity(64 * 1024, File::create(&beside)?);
        writeln!(file, "# {}", serde_json::to_string(head)?)?;
        lines(&mut file)?;
        file.into_inner()?.sync_all()?;
        fs::rename(&beside, &path)?;
        sync_folder(&self.folder)
    }

    fn read<H: DeserializeOwned>(
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
    std::io::Read::take(file, LONGEST_LINE as u64).read_until(b'\n', line)?;
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

fn feed_file(name: &FeedName) -> String {
    format!("{name}.list")
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(folder: &Path) -> Kept {
        Kept { folder: folder.join("lists") }
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept(folder.path());
        let name: FeedName = "bad".parse().unwrap();
        let missing = kept.feed(&name).unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);

        let ranges = ["192.0.2.0/24", "198.51.100.1-198.51.100.5", "2001:db8::/33"];
        let ranges: RangeList = ranges.iter().map(|r| r.parse::<AddrRange>().unwrap()).collect();
        let version = Version { etag: Some("\"a\nb\"".to_owned()), last_modified: None };
        let content = Content::Feed(name.clone(), Arc::new(ranges.clone()), version.clone());
        kept.keep(&content).unwrap();
        assert_eq!(kept.feed(&name).unwrap(), (ranges, version.clone()));
        kept.forget(&name).unwrap();
        kept.forget(&name).unwrap();
        assert!(kept.feed(&name).is_err());

        let mut builder = Builder::new();
        builder.add("192.0.2.0/24".parse().unwrap(), "DE".parse().unwrap());
        builder.add("2001:db8::/32".parse().unwrap(), "FR".parse().unwrap());
        let table = FetchedTable {
            table: Arc::new(builder.build()),
            versions: Versions::from([("/usr/share/tor/geoip".to_owned(), version)]),
            tells_of: Some(["DE", "FR"].map(|code| code.parse().unwrap()).into()),
            taken: Some(Time::from_millis(17)),
            notes: Vec::new(),
        };
        kept.keep(&Content::Table(table.clone())).unwrap();
        assert_eq!(kept.table().unwrap(), table);
    }

    #[test]
    fn damage_is_an_error_and_no_shorter_list() {
        let folder = tempfile::tempdir().unwrap();
        let kept = kept(folder.path());
        fs::create_dir(folder.path().join("lists")).unwrap();
        let name: FeedName = "bad".parse().unwrap();
        let mut hostile: Vec<Vec<u8>> = vec![
            b"".to_vec(),
            b"192.0.2.1\n".to_vec(),
            b"# {}\n192.0.2.1\n192.0.2\n".to_vec(),
            b"# {}\n\xff\n".to_vec(),
            b"# {\n".to_vec(),
        ];
        hostile.push([b"# {}\n".to_vec(), vec![b'1'; 1 << 20]].concat());
        for text in hostile {
            fs::write(folder.path().join("lists/bad.list"), &text).unwrap();
            let error = kept.feed(&name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        }
    }
}
