//! What feeds hold, kept in `lists/NAME.list`.

use std::io::Write as _;

use nightlatch_core::AddrRange;
use nightlatch_core::features::feeds::FeedName;
use nightlatch_core::lists::Version;
use nightlatch_parse::ranges::RangeList;

use crate::shell::kept::Kept;

/// The file of a feed.
pub(super) fn file(name: &FeedName) -> String {
    format!("{name}.list")
}

/// The feeds of which something is kept, in the order of their names.
pub(super) fn names(kept: &Kept) -> Vec<FeedName> {
    let names = kept.names().into_iter();
    let names = names.filter_map(|name| name.strip_suffix(".list")?.parse().ok());
    let mut names: Vec<FeedName> = names.collect();
    names.sort_unstable();
    names
}

/// Keeps what a feed holds, and which version that is.
pub(super) fn keep(
    kept: &Kept,
    name: &FeedName,
    ranges: &RangeList,
    version: &Version,
) -> std::io::Result<()> {
    kept.write(&file(name), version, |file| {
        ranges.iter().try_for_each(|range| writeln!(file, "{range}"))
    })
}

/// What a feed held, and which version that was.
pub(super) fn read(kept: &Kept, name: &FeedName) -> std::io::Result<(RangeList, Version)> {
    let mut ranges = RangeList::new();
    let version = kept.read(&file(name), |line| {
        ranges.push(line.parse::<AddrRange>().ok()?);
        Some(())
    })?;
    ranges.merge();
    Ok((ranges, version))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn what_is_kept_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::within(folder.path());
        let name: FeedName = "bad".parse().unwrap();
        let missing = read(&kept, &name).unwrap_err();
        assert_eq!(names(&kept), []);
        assert_eq!(missing.kind(), ErrorKind::NotFound);

        let ranges = ["192.0.2.0/24", "198.51.100.1-198.51.100.5", "2001:db8::/33"];
        let ranges: RangeList = ranges.iter().map(|r| r.parse::<AddrRange>().unwrap()).collect();
        let version = Version { etag: Some("\"a\nb\"".to_owned()), last_modified: None };
        keep(&kept, &name, &ranges, &version).unwrap();
        assert_eq!(read(&kept, &name).unwrap(), (ranges, version));
        assert_eq!(names(&kept), std::slice::from_ref(&name));
        kept.remove(&file(&name)).unwrap();
        kept.remove(&file(&name)).unwrap();
        assert!(read(&kept, &name).is_err());
    }

    #[test]
    fn damage_is_an_error_and_no_shorter_list() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::within(folder.path());
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
            let error = read(&kept, &name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
        }
    }
}
