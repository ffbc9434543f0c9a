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
    if rules.countries == [DEFAULT_COUNTRIES] {
        rules.countries = vec![with_table(&[DEFAULT_COUNTRIES, OWN_COUNTRIES]).to_owned()];
    }
    rules
}

/// The first of the folders that holds a table: the package tor alone leaves one without. Where
/// none does, the first, so that a message names it.
fn with_table<'a>(folders: &[&'a str]) -> &'a str {
    let found = folders.iter().find(|folder| Path::new(folder).join("geoip").exists());
    found.or(folders.first()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_table_or_the_one_that_was_installed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (tor, own) = (path("tor"), path("own"));
        let found = || with_table(&[&tor, &own]).to_owned();
        assert_eq!(found(), tor);
        std::fs::create_dir(&tor).unwrap();
        std::fs::write(format!("{tor}/tor-service-defaults-torrc"), "").unwrap();
        assert_eq!(found(), tor);
        std::fs::create_dir(&own).unwrap();
        std::fs::write(format!("{own}/geoip"), "").unwrap();
        assert_eq!(found(), own);
        std::fs::write(format!("{tor}/geoip"), "").unwrap();
        assert_eq!(found(), tor);
    }
}
