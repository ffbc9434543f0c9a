//! Genuine lines, lines as the programs' sources write them, and lines that are meant to deceive.

mod genuine;
mod hostile;
mod sip_servers;

use super::{Format, Reading};

/// What a format reads in a line, in short: `source:port service outcome proof`, then the account, the session
/// and the agent where there are any.
fn shown(format: Format, line: &[u8]) -> String {
    let text = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    match format.read(line) {
        None => "-".to_owned(),
        Some(Reading::Doubtful(doubt)) => {
            let sources: Vec<String> = doubt.sources.iter().map(ToString::to_string).collect();
            format!("? {}", sources.join(" "))
        }
        Some(Reading::Attempt(read)) => {
            let mut shown = read.source.to_string();
            if let Some(port) = read.port {
                shown = format!("{shown}:{port}");
            }
            let word = |value| serde_json::to_value(value).unwrap().as_str().unwrap().to_owned();
            shown = format!(
                "{shown} {} ",
                serde_json::to_value(read.service).unwrap().as_str().unwrap()
            );
            shown += &word(read.outcome);
            let proof = serde_json::to_value(read.proof).unwrap();
            shown = format!("{shown} {}", proof.as_str().unwrap());
            for (name, value) in
                [("account", read.account), ("pid", read.session), ("agent", read.agent)]
            {
                if let Some(value) = value {
                    shown = format!("{shown} {name}={}", text(value));
                }
            }
            assert!(read.stamp.is_some() || format == Format::Kamailio, "no stamp: {}", text(line));
            shown
        }
    }
}

fn check(format: Format, line: &str, expected: &str) {
    assert_eq!(shown(format, line.as_bytes()), expected, "{line}");
}
