//! The command that was given, to be given once more with another option.

use crate::shell::outcome::Failure;

/// How long a command may be that is shown again.
const MAX_SHOWN: usize = 500;

/// A failure that says the same command with an option, ready to copy. Called by another name than its own
/// (one of the old ones), or with too much to show, it says only the option.
pub fn with(failure: Failure, option: &str) -> Failure {
    let words: Vec<String> = std::env::args().collect();
    match command(&words, option) {
        Some(command) => {
            let message = format!("{}: \"{command}\"", failure.message);
            Failure { message, ..failure }
        }
        None => failure,
    }
}

fn command(words: &[String], option: &str) -> Option<String> {
    let (program, rest) = words.split_first()?;
    if program.rsplit('/').next() != Some("nightlatch") {
        return None;
    }
    let words = rest.iter().map(|word| quoted(word)).collect::<Option<Vec<String>>>()?;
    let command = format!("nightlatch {} {option}", words.join(" "));
    (command.len() <= MAX_SHOWN).then_some(command)
}

/// A word as a shell takes it; `None` if it cannot be shown in one line.
fn quoted(word: &str) -> Option<String> {
    let plain = |c: char| c.is_alphanumeric() || "-_./:,@=+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Some(word.to_owned());
    }
    let shows = word.chars().all(|c| !c.is_control() && c != '\'');
    shows.then(|| format!("'{word}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_command_once_more() {
        for (line, expected) in [
            ("nightlatch|allow|wide|10.0.0.0/8", Some("nightlatch allow wide 10.0.0.0/8 --force")),
            (
                "/usr/bin/nightlatch|allow|x|--note|my office",
                Some("nightlatch allow x --note 'my office' --force"),
            ),
            ("add-ip|x|10.0.0.0/8", None),
            ("nightlatch|allow|x|--note|it's", None),
            ("nightlatch|allow|x|--note|a\nb", None),
            ("", None),
        ] {
            let words: Vec<String> = line.split('|').map(str::to_owned).collect();
            assert_eq!(command(&words, "--force").as_deref(), expected, "{line}");
        }
        let long = vec!["nightlatch".to_owned(), "x".repeat(600)];
        assert_eq!(command(&long, "--force"), None);
    }
}
