//! The database of autonomous systems, where one is installed.

use std::fs::File;
use std::io::Read as _;

use nightlatch_parse::country::mmdb::Systems;

use crate::shell::paths::Paths;

/// Where `geoipupdate` puts it, and where others do.
const DATABASES: [&str; 2] =
    ["/var/lib/GeoIP/GeoLite2-ASN.mmdb", "/usr/share/GeoIP/GeoLite2-ASN.mmdb"];
/// The most bytes of a database; the published ones have about ten million.
const MAX_BYTES: u64 = 256 << 20;

/// The first database that can be read.
pub(super) fn read(paths: &Paths) -> Option<Systems> {
    DATABASES.iter().find_map(|path| {
        let file = File::open(paths.of_others(path)).ok()?;
        let length = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
        if length > MAX_BYTES {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        Systems::open(bytes).ok()
    })
}
