//! The configuration file: read, never written.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use nightlatch_core::config::{DEFAULT_COUNTRIES, Rules};

use super::outcome::{Code, Failure};

/// The longest configuration file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Where `install.sh` puts the tables of `tor-geoipdb`, since the package itself would bring a Tor
/// server along.
const OWN_COUNTRIES: &str = "/usr/local/share/nightlatch";

/// Reads and checks the file. A file that is not there is the default configuration.
///
/// # Errors
/// The file cannot be read, or holds a mistake, shown with its place.
pub fn read(path: &Path) -> Result<Rules, Failure> {
    let bad =
        |what: String| Failure::new(Code::Configuration, format!("{}: {what}", path.display()));
    let mut text = String::new();
    match File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text)) {
        Ok(read) if read as u64 > LONGEST => Err(bad("longer than 1 MiB".to_owned())),
        Ok(_) => {
            Rules::read(&text).map(with_own_countries).map_err(|mistake| bad(mistake.to_string()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Ok(with_own_countries(Rules::default()))
        }
        Err(error) => Err(bad(format!("cannot be read: {error}"))),
    }
}

/// The usual source of countries is the package's folder, or ours where that is not there.
fn with_own_countries(mut rules: Rules) -> Rules {
    let usual = rules.countries == [DEFAULT_COUNTRIES];
    let holds_table = |folder: &str| Path::new(folder).join("geoip").exists();
    // Without its companion the package tor leaves a folder without a table.
    if usual && !holds_table(DEFAULT_COUNTRIES) && holds_table(OWN_COUNTRIES) {
        rules.countries = vec![OWN_COUNTRIES.to_owned()];
    }
    rules
}
