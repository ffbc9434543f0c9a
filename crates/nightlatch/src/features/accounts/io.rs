//! What a person writes: addresses, networks, ranges and host names, also in files.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use nightlatch_core::entry::EntryError;
use nightlatch_core::features::accounts::{Entry, MAX_ENTRIES};

use crate::shell::outcome::{Code, Failure};
use crate::shell::screen;

/// How large a list may be, and how long a line of it.
const MAX_LIST_BYTES: u64 = 4 << 20;
const MAX_LINE_BYTES: usize = 1024;

/// Reads an entry as written: an address, a network, a range, or else a host name, which the daemon looks
/// up.
///
/// # Errors
/// Neither an address nor a name.
pub fn entry(text: &str) -> Result<Entry, Failure> {
    text.parse().map_err(|error| Failure::new(Code::Usage, error))
}

/// Reads the entries of a file, or of standard input where it is called `-`.
///
/// # Errors
/// It cannot be read or is too long, or the first line that is wrong. Nothing of it counts then.
pub fn entries_of(path: &Path) -> Result<Vec<Entry>, Failure> {
    let mut content = Vec::new();
    let read = match path.as_os_str() == "-" {
        true => std::io::stdin().take(MAX_LIST_BYTES + 1).read_to_end(&mut content),
        false => File::open(path)
            .and_then(|file| file.take(MAX_LIST_BYTES + 1).read_to_end(&mut content)),
    };
    let shown = screen::printable(&path.display().to_string());
    read.map_err(|error| {
        Failure::no(format!("{shown} cannot be read ({error}): nothing was changed"))
    })?;
    if content.len() as u64 > MAX_LIST_BYTES {
        let most = MAX_LIST_BYTES >> 20;
        return Err(Failure::no(format!(
            "{shown} is larger than {most} MiB: nothing was changed; split it into several accounts"
        )));
    }
    entries_in(&content).map_err(|(line, what)| {
        let what = screen::printable(&what);
        Failure::new(Code::Usage, format!("{shown}, line {line}: {what}; nothing was changed"))
    })
}

/// The entries of a list, or the number of the first line that is wrong, and what is wrong with it.
fn entries_in(content: &[u8]) -> Result<Vec<Entry>, (usize, String)> {
    let mut entries = Vec::new();
    for (at, line) in content.split(|byte| *byte == b'\n').enumerate() {
        let wrong = |what: String| (at + 1, what);
        if line.len() > MAX_LINE_BYTES {
            return Err(wrong(format!("it is longer than {MAX_LINE_BYTES} bytes")));
        }
        let text =
            std::str::from_utf8(line).map_err(|_| wrong("it is not valid UTF-8".to_owned()))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = text.split_once('#').map_or(text, |(before, _)| before).trim();
        if text.is_empty() {
            continue;
        }
        if entries.len() == MAX_ENTRIES {
            return Err(wrong(format!("an account has at most {MAX_ENTRIES} addresses")));
        }
        entries.push(text.parse().map_err(|error: EntryError| wrong(error.to_string()))?);
    }
    if entries.is_empty() {
        return Err((1, "the list has no address".to_owned()));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_in_files() {
        let check = |text: &str, expected: Result<&str, (usize, &str)>| {
            let found = entries_in(text.as_bytes());
            let found = found.as_ref().map_err(|(line, what)| (*line, what.as_str()));
            let shown = |entries: &Vec<Entry>| {
                let entries: Vec<String> = entries.iter().map(|it| it.id().to_string()).collect();
                entries.join(" ")
            };
            assert_eq!(found.map(shown), expected.map(str::to_owned), "{text:?}");
        };
        check("203.0.113.7\n", Ok("203.0.113.7"));
        check(
            "\u{feff}# phones\r\n\r\n 203.0.113.0/24 # Berlin\r\npbx.example.net\r\n",
            Ok("203.0.113.0/24 pbx.example.net"),
        );
        check("2001:db8::1", Ok("2001:db8::1"));
        let empty = "the list has no address";
        check("", Err((1, empty)));
        check("# nothing\n\n", Err((1, empty)));
        let address = "203.0.113.7/33".parse::<Entry>().unwrap_err().to_string();
        check("203.0.113.7\n203.0.113.7/33\n", Err((2, &address)));
        let two = "203.0.113.7 203.0.113.8".parse::<Entry>().unwrap_err().to_string();
        check("\n\n203.0.113.7 203.0.113.8\n", Err((3, &two)));
        check(
            &format!("203.0.113.7\n{}", "x".repeat(1025)),
            Err((2, "it is longer than 1024 bytes")),
        );
        let most = "203.0.113.7\n".repeat(MAX_ENTRIES);
        assert_eq!(entries_in(most.as_bytes()).map(|found| found.len()), Ok(MAX_ENTRIES));
        check(
            &format!("{most}203.0.113.7"),
            Err((65_537, "an account has at most 65536 addresses")),
        );
        assert_eq!(
            entries_in(b"203.0.113.7\n\xff\xfe"),
            Err((2, "it is not valid UTF-8".to_owned()))
        );
    }
}
