//! What lists hold, kept in the state folder, so that a restart needs no network.
//!
//! Plain text, one range a line, in `lists/NAME.list` and `lists/countries.table`. A file is
//! written beside the old one and takes its place whole.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, BufWriter, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use nightlatch_core::AddrRange;
use nightlatch_core::action::Content;
use nightlatch_core::lists::FeedName;
use nightlatch_parse::country::{Builder, CountryTable};
use nightlatch_parse::ranges::RangeList;

use super::paths::Paths;

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

    /// Keeps a list.
    ///
    /// # Errors
    /// The disk fails or is full; the old file is whole then.
    pub fn keep(&self, content: &Content) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        match content {
            Content::Feed(name, ranges) => self.write(&feed_file(name), |file| {
                ranges.iter().try_for_each(|range| writeln!(file, "{range}"))
            }),
            Content::Table(table) => self.write(TABLE, |file| {
                table.iter().try_for_each(|(range, code)| writeln!(file, "{range} {code}"))
            }),
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

    /// What a feed held.
    ///
    /// # Errors
    /// There is none, or its file is damaged.
    pub fn feed(&self, name: &FeedName) -> std::io::Result<RangeList> {
        let mut ranges = RangeList::new();
        self.read(&feed_file(name), |line| {
            ranges.push(line.parse::<AddrRange>().ok()?);
            Some(())
        })?;
        ranges.merge();
        Ok(ranges)
    }

    /// The table of countries.
    ///
    /// # Errors
    /// There is none, or its file is damaged.
    pub fn table(&self) -> std::io::Result<CountryTable> {
        let mut builder = Builder::new();
        self.read(TABLE, |line| {
            let (range, code) = line.split_once(' ')?;
            builder.add(range.parse().ok()?, code.parse().ok()?);
            Some(())
        })?;
        Ok(builder.build())
    }

    fn write(
        &self,
        name: &str,
        lines: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        let path = self.folder.join(name);
        let beside = path.with_extension("new");
        let mut file = BufWriter::new(File::create(&beside)?);
        lines(&mut file)?;
        file.into_inner()?.sync_all()?;
        fs::rename(&beside, &path)?;
        sync_folder(&self.folder)
    }

    fn read(&self, name: &str, mut take: impl FnMut(&str) -> Option<()>) -> std::io::Result<()> {
        let file = BufReader::new(File::open(self.folder.join(name))?);
        for line in file.lines() {
            let line = line?;
            take(&line).ok_or_else(|| {
                let what =
                    format!("{name} is damaged: \"{}\"", line.chars().take(60).collect::<String>());
                std::io::Error::new(ErrorKind::InvalidData, what)
            })?;
        }
        Ok(())
    }
}

const TABLE: &str = "countries.table";

fn feed_file(name: &FeedName) -> String {
    format!("{name}.list")
}

fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}
