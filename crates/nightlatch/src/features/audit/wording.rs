//! What the audit log says in words.

use nightlatch_core::audit::Record;
use serde_json::Value;

use crate::features;
use crate::shell::screen;
use crate::shell::store::Entry;

/// How many characters of a value are shown.
const MAX_SHOWN: usize = 200;

/// A record in one line.
pub(super) fn line(entry: &Entry) -> String {
    let record = &entry.record;
    let say = |value: &Value| in_words(record, value);
    let change = match (&record.before, &record.after) {
        (Value::Null, Value::Null) => String::new(),
        (Value::Null, after) => format!(": {}", say(after)),
        (before, Value::Null) => format!(": was {}", say(before)),
        (before, after) => format!(": {} -> {}", say(before), say(after)),
    };
    let subject = match record.subject.as_str() {
        subject if subject == record.action => String::new(),
        subject => format!(" {subject}"),
    };
    let line = format!(
        "{:>5}  {}  {}  {}{subject}{change}",
        entry.number, entry.time, record.caller, record.action
    );
    screen::printable(&line)
}

/// What the log holds, for the screen; whole it is in JSON and CSV.
fn in_words(record: &Record, value: &Value) -> String {
    let text = features::audited(record, value).unwrap_or_else(|| match value {
        Value::String(text) => text.clone(),
        Value::Array(_) | Value::Object(_) => {
            "in a form that this version does not know (see \"nightlatch log --json\")".to_owned()
        }
        plain => plain.to_string(),
    });
    match text.char_indices().nth(MAX_SHOWN) {
        Some((at, _)) => {
            let kept = text.get(..at).unwrap_or_default();
            // What was quoted ends here too.
            let end = if kept.matches('"').count() % 2 == 1 { "\"" } else { "" };
            format!("{kept}...{end}")
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use nightlatch_core::api::Caller;
    use serde_json::json;

    use super::*;

    #[test]
    fn no_json_on_the_screen() {
        let unknown = "in a form that this version does not know (see \"nightlatch log --json\")";
        for (action, value, words) in [
            ("mode", json!("open"), "open"),
            ("feed", json!({ "checked": 1, "result": "3 entries" }), "3 entries"),
            ("feed", json!({ "result": { "entries": { "entries": 1 } } }), "1 entry"),
            ("country allow", json!({ "blocked": ["CN"], "only": [] }), "not CN"),
            ("forget", json!([]), ""),
            ("mode", json!({ "what": [1, 2] }), unknown),
            ("mode", json!([1, 2]), unknown),
        ] {
            let (caller, action) = (Caller::default(), action.to_owned());
            let (before, after) = (Value::Null, value.clone());
            let record = Record { caller, action, subject: "x".to_owned(), before, after };
            assert_eq!(in_words(&record, &value), words, "{value}");
        }
    }
}
