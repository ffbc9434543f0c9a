//! What is said about notices.

use nightlatch_core::audit::Record;
use nightlatch_core::features::notices::{Listed, Notice, Notices, Refusal, Reply};
use serde_json::Value;

use crate::features::report::Report;
use crate::features::worded::Worded;
use crate::shell::screen;

/// How many notices `status` shows on the screen.
const MAX_LINES: usize = 5;

impl Worded for Notices {
    fn say(_reply: &Reply, _changed: bool) -> Option<String> {
        None
    }

    fn refuse(refusal: &Refusal) -> String {
        match *refusal {}
    }

    fn notice(notice: &Notice) -> String {
        match *notice {}
    }

    fn report(reply: &Reply, report: &mut Report) {
        let Reply::Report { recent, waiting, lost, failing } = reply;
        if !recent.is_empty() {
            report.field(160, "notices", recent);
        }
        for notice in recent.iter().take(MAX_LINES) {
            report.line(95, line(notice));
        }
        let more = recent.len().saturating_sub(MAX_LINES);
        if more > 0 {
            report
                .line(95, format!("notice    and {more} more (see \"nightlatch status --json\")"));
        }
        if let Some((times, why)) = failing {
            report.warning(failed(*times, *waiting, *lost, why));
        }
    }

    fn audited(record: &Record, value: &Value) -> Option<String> {
        if record.action != "notice" {
            return None;
        }
        // The sentence, and behind it the texts from outside, which it holds too.
        Some(value.get(0)?.as_str()?.to_owned())
    }
}

/// That the command fails, and what that means for the notices.
fn failed(times: u32, waiting: usize, lost: u64, why: &str) -> String {
    let times = match times {
        1 => "once".to_owned(),
        times => format!("{times} times in a row"),
    };
    let waiting = match waiting {
        1 => "1 notice waits".to_owned(),
        waiting => format!("{waiting} notices wait"),
    };
    let lost = match lost {
        0 => String::new(),
        1 => ", 1 was given up".to_owned(),
        lost => format!(", {lost} were given up"),
    };
    let why = screen::printable(why);
    format!("the command of [notices] has failed {times}, {waiting}{lost}: {why}")
}

/// A notice in one line. What repeats is counted.
fn line(notice: &Listed) -> String {
    let times = match notice.count {
        1 => String::new(),
        count => format!(" ({count} times)"),
    };
    format!("notice    {}{times}: {}", notice.last, screen::printable(&notice.message))
}
