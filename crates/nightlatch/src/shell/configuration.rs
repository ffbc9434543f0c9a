//! The configuration file: read, never written.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use nightlatch_core::config::Config;

use super::outcome::{Code, Failure};
use crate::features;

/// The longest configuration file that is read, in bytes.
const MAX_LEN: u64 = 1 << 20;

/// Reads and checks the file. A file that is not there is the default configuration.
///
/// # Errors
/// The file cannot be read, or holds a mistake, shown with its place.
pub fn read(path: &Path) -> Result<Config, Failure> {
    let bad =
        |what: String| Failure::new(Code::Configuration, format!("{}: {what}", path.display()));
    let mut text = String::new();
    let mut config =
        match File::open(path).and_then(|file| file.take(MAX_LEN + 1).read_to_string(&mut text)) {
            Ok(read) if read as u64 > MAX_LEN => Err(bad("longer than 1 MiB".to_owned())),
            Ok(_) => Config::read(&text).map_err(|mistake| bad(mistake.to_string())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Config::default()),
            Err(error) => Err(bad(format!("cannot be read: {error}"))),
        }?;
    features::find_defaults(&mut config);
    Ok(config)
}
