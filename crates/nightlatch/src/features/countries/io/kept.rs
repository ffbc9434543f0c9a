//! The table of countries, kept in `lists/countries.table`.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;

use nightlatch_core::features::countries::FetchedTable;
use nightlatch_core::lists::Versions;
use nightlatch_core::time::Time;
use nightlatch_parse::country::{Builder, CountryCode};
use serde::{Deserialize, Serialize};

use crate::shell::kept::Kept;

const TABLE: &str = "countries.table";

/// What the first line says.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Head {
    taken: Option<Time>,
    versions: Versions,
    #[serde(skip_serializing_if = "Option::is_none")]
    tells_of: Option<BTreeSet<CountryCode>>,
}

/// Keeps the table.
pub(super) fn keep(kept: &Kept, fetched: &FetchedTable) -> std::io::Result<()> {
    let head = Head {
        taken: fetched.taken,
        versions: fetched.versions.clone(),
        tells_of: fetched.tells_of.clone(),
    };
    kept.write(TABLE, &head, |file| {
        fetched.table.iter().try_for_each(|(range, code)| writeln!(file, "{range} {code}"))
    })
}

/// The table that was kept.
pub(super) fn read(kept: &Kept) -> std::io::Result<FetchedTable> {
    let mut builder = Builder::new();
    let head: Head = kept.read(TABLE, |line| {
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

#[cfg(test)]
mod tests {
    use nightlatch_core::lists::Version;

    use super::*;

    #[test]
    fn what_is_kept_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::within(folder.path());
        let mut builder = Builder::new();
        builder.add("192.0.2.0/24".parse().unwrap(), "DE".parse().unwrap());
        builder.add("2001:db8::/32".parse().unwrap(), "FR".parse().unwrap());
        let version = Version { etag: Some("\"a\nb\"".to_owned()), last_modified: None };
        let table = FetchedTable {
            table: Arc::new(builder.build()),
            versions: Versions::from([("/usr/share/tor/geoip".to_owned(), version)]),
            tells_of: Some(["DE", "FR"].map(|code| code.parse().unwrap()).into()),
            taken: Some(Time::from_millis(17)),
            notes: Vec::new(),
        };
        keep(&kept, &table).unwrap();
        assert_eq!(read(&kept).unwrap(), table);
    }
}
