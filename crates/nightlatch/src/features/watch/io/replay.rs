//! Reads a file or standard input once, from its beginning.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::Path;

use nightlatch_core::detect::Settings;
use nightlatch_core::features::watch::{Config, Moments, Place, Watched};
use nightlatch_core::time::Time;
use nightlatch_parse::fail2ban::{Filter, Source};
use nightlatch_parse::log::MAX_LINE;

use crate::features::watch::intake::LineReader;
use crate::features::watch::replay::Replay;
use crate::shell::outcome::{Code, Failure};
use crate::shell::{clock, hours};

/// How many bytes are read at once.
const BLOCK: usize = 1 << 20;
/// The longest line that is kept whole; of a longer one the rest is left out.
const MAX_KEPT: u64 = MAX_LINE as u64 + 2;

/// A filter of fail2ban by its name.
pub(in crate::features::watch) fn filter(name: &str) -> Result<Filter, String> {
    super::gather::filter(name, Source::File)
}

/// What reads a log as its table of the configuration says; `None` if no table names it.
pub(in crate::features::watch) fn configured(
    path: &str,
    config: &Config,
) -> Result<Option<LineReader>, String> {
    let is_its = |watched: &&Watched| watched.place == Place::File(path.to_owned());
    config.watched.iter().find(is_its).map(|it| super::gather::file(path, it)).transpose()
}

/// Reads a file, or standard input (`-`).
///
/// # Errors
/// It cannot be read.
pub(in crate::features::watch) fn read(
    lines: LineReader,
    settings: Settings,
    since: Option<std::time::Duration>,
) -> Result<Replay, Failure> {
    let now = clock::now();
    let (zone, zone_file) = hours::zone_of_logs();
    let moments = Moments::of(&zone, &zone_file);
    let path = lines.log.clone();
    let not_before = since.map_or(Time::default(), |since| {
        let millis = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
        Time::from_millis(now.millis().saturating_sub(millis))
    });
    let mut replay = Replay::new(lines, settings, super::random(), moments, not_before, now);
    let failed = |error: std::io::Error| {
        let what =
            format!("the log {path} cannot be read: {error}; name a file, or - for standard input");
        Failure::new(Code::Usage, what)
    };
    if path == "-" {
        read_all(std::io::stdin().lock(), &mut replay).map_err(failed)?;
    } else {
        let file = File::open(Path::new(&path)).map_err(failed)?;
        read_all(BufReader::with_capacity(BLOCK, file), &mut replay).map_err(failed)?;
    }
    replay.finish();
    Ok(replay)
}

fn read_all(mut reader: impl BufRead, replay: &mut Replay) -> std::io::Result<()> {
    let mut block = Vec::with_capacity(BLOCK);
    loop {
        let length = block.len();
        let read = reader.by_ref().take(MAX_KEPT).read_until(b'\n', &mut block)?;
        if read == 0 {
            break;
        }
        let is_whole = block.last() == Some(&b'\n');
        if !is_whole && read as u64 == MAX_KEPT {
            // The judge of lines sees that it is too long.
            reader.skip_until(b'\n')?;
            block.push(b'\n');
        }
        debug_assert!(block.len() > length);
        if block.len() + MAX_LINE > BLOCK {
            replay.take(&block);
            block.clear();
        }
    }
    replay.take(&block);
    Ok(())
}
