//! Logs of Asterisk.

use nightlatch_parse::log::asterisk::{self, ami};
use nightlatch_parse::log::{Attempt, Doubt, Reading};

/// Parts of a reading are parts of the line, and a doubt has a source.
fn check_reading(line: &[u8], reading: &Reading<'_>) {
    let parts = match reading {
        Reading::Attempt(Attempt { account, session, agent, dialled, .. }) => {
            [*account, *session, *agent, *dialled]
        }
        Reading::Doubtful(Doubt { sources, text, .. }) => {
            assert!(!sources.is_empty() && sources.len() <= 8);
            [Some(*text), None, None, None]
        }
    };
    let inside = line.as_ptr_range();
    for part in parts.into_iter().flatten() {
        assert!(!part.is_empty());
        let part = part.as_ptr_range();
        assert!(inside.start <= part.start && part.end <= inside.end);
    }
}

pub fn lines(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        if let Some(reading) = asterisk::read(line) {
            check_reading(line, &reading);
        }
        asterisk::thread(line);
    }
}

/// Whole and in pieces the same; the first byte is the length of the pieces.
pub fn manager(data: &[u8]) {
    let (block, data) =
        data.split_first().map_or((1, data), |(first, rest)| (usize::from(*first), rest));
    let packets = |block: usize| {
        let mut seen = Vec::new();
        let mut stream = ami::Stream::new();
        for part in data.chunks(block.max(1)) {
            stream.push(part, |packet| seen.push(format!("{packet:?}")));
        }
        seen
    };
    let whole = packets(data.len());
    assert!(data.len() > ami::MAX_EVENT || whole == packets(block));
}
