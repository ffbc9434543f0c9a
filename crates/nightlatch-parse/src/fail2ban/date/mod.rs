//! Finding the date of a line, as fail2ban finds it: which of many forms it has is learned from the lines.

mod fields;
mod template;

use super::pattern::Exhausted;
use crate::log::Stamp;
use template::{Found, Template};

/// The most forms of dates that a filter may look for.
const MAX_TEMPLATES: usize = 200;

/// The forms that are tried without a pattern of the filter's own, in this order.
const USUAL: [&str; 17] = [
    // 2005-01-23T21:59:59.981746+02:00
    r"%ExY(?P<_sep>[-/.])%m(?P=_sep)%d(?:T|  ?)%H:%M:%S(?:[.,]%f)?(?:\s*%z)?",
    // Sun Jan 23 21:59:59.011 2005
    r"(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    // Sun Jan 23 2005 21:59:59.011
    r"(?:%a )?%b %d %ExY %k:%M:%S(?:\.%f)?",
    // 23/01/2005 21:59:59
    r"%d(?P<_sep>[-/])%m(?P=_sep)(?:%ExY|%Exy) %k:%M:%S",
    // 23/Jan/2005:21:59:59 +0200
    r"%d(?P<_sep>[-/])%b(?P=_sep)%ExY[ :]?%H:%M:%S(?:\.%f)?(?: %z)?",
    // 01/23/2005:21:59:59
    r"%m/%d/%ExY:%H:%M:%S",
    // 01-23-2005 21:59:59.011
    r"%m-%d-%ExY %k:%M:%S(?:\.%f)?",
    "EPOCH",
    // 21:59:59
    r"{^LN-BEG}%H:%M:%S",
    // <01/23/05@21:59:59>
    r"^<%m/%d/%Exy@%H:%M:%S>",
    // 050123 21:59:59
    r"%Exy%Exm%Exd  ?%H:%M:%S",
    // Jan 23, 2005 9:59:59 PM
    r"%b %d, %ExY %I:%M:%S %p",
    // Jan-23-05 21:59:59
    r"^%b-%d-%Exy %k:%M:%S",
    // 20050123T215959
    r"%ExY%Exm%Exd(?:-|T|  ?)%ExH:?%ExM:?%ExS(?:[.,]%f)?(?:\s*%z)?",
    // PDT Jan 23 21:59:59
    r"(?:%Z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    // +00:00 Jan 23 21:59:59.011 2005
    r"(?:%z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    "TAI64N",
];

/// The place of a date within its line, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dated {
    pub(super) range: std::ops::Range<usize>,
    pub(super) stamp: Option<Stamp>,
}

/// Finds dates. It remembers which form the last line had.
#[derive(Clone, Debug)]
pub(super) struct Detector {
    templates: Vec<Template>,
    last: Option<Last>,
}

/// Form and place of the last date.
#[derive(Clone, Debug)]
struct Last {
    template: usize,
    start: usize,
    end: usize,
}

impl Detector {
    /// A detector for the filter's date patterns; without any, for the usual forms.
    pub(super) fn new(patterns: Option<&[String]>) -> Result<Self, String> {
        let mut detector = Self { templates: Vec::new(), last: None };
        let default = ["{DEFAULT}".to_owned()];
        let patterns = match patterns {
            None | Some([]) => &default,
            Some(patterns) => patterns,
        };
        for pattern in patterns {
            detector.add(pattern).map_err(|what| format!("{pattern:?}: {what}"))?;
        }
        Ok(detector)
    }

    fn add(&mut self, pattern: &str) -> Result<(), String> {
        let upper = pattern.to_uppercase();
        match upper.as_str() {
            "{DEFAULT}" => return self.add_usual(false),
            "{^LN-BEG}" => return self.add_usual(true),
            "{NONE}" => return self.push(Template::new("{UNB}^")?),
            _ => {}
        }
        let at = upper.find("{DATE}").filter(|_| upper.len() == pattern.len());
        let Some(at) = at else { return self.push(Template::new(pattern)?) };
        let before = pattern.get(..at).unwrap_or_default();
        let after = pattern.get(at + "{DATE}".len()..).unwrap_or_default();
        for usual in USUAL.iter().filter(|usual| usual.contains('%')) {
            let usual = usual.strip_prefix("{^LN-BEG}").unwrap_or(usual);
            self.push(Template::new(&format!("{before}{usual}{after}"))?)?;
        }
        Ok(())
    }

    /// The usual forms: first each at the start of a line, then anywhere.
    fn add_usual(&mut self, only_at_start: bool) -> Result<(), String> {
        for usual in
            USUAL.iter().filter(|usual| !usual.starts_with("{^") && !usual.starts_with('^'))
        {
            self.push(Template::new(&format!("{{^LN-BEG}}{usual}"))?)?;
        }
        for usual in USUAL {
            let template = Template::new(usual)?;
            if !only_at_start || template.at_line_start {
                self.push(template)?;
            }
        }
        Ok(())
    }

    fn push(&mut self, template: Template) -> Result<(), String> {
        if self.templates.iter().any(|other| other.name == template.name) {
            return Ok(());
        }
        if self.templates.len() >= MAX_TEMPLATES {
            return Err(format!("more than {MAX_TEMPLATES} forms of dates"));
        }
        self.templates.push(template);
        Ok(())
    }

    /// The date of a line.
    pub(super) fn find(
        &mut self,
        line: &[u8],
        steps: &mut usize,
    ) -> Result<Option<Dated>, Exhausted> {
        let mut best: Option<(usize, Found)> = None;
        let mut tried = None;
        if let Some(last) = &self.last {
            tried = Some(last.template);
            if let Some(template) = self.templates.get(last.template)
                && let Some(found) = template.find(line, steps)?
            {
                let same_place = found.whole.start == last.start && found.whole.end == last.end;
                if template.anchored || same_place || self.templates.len() == 1 {
                    return Ok(self.take(last.template, found));
                }
                best = Some((last.template, found));
            }
        }
        for (number, template) in self.templates.iter().enumerate() {
            if Some(number) == tried {
                continue;
            }
            let Some(found) = template.find(line, steps)? else { continue };
            let usual_place = self.last.as_ref().is_none_or(|last| found.whole.start <= last.start);
            if template.anchored || usual_place {
                return Ok(self.take(number, found));
            }
            // Farther right than before: perhaps it is part of the message.
            if best.as_ref().is_none_or(|(_, other)| found.whole.start < other.whole.start) {
                best = Some((number, found));
            }
        }
        Ok(best.and_then(|(number, found)| self.take(number, found)))
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is what its callers return")]
    fn take(&mut self, template: usize, found: Found) -> Option<Dated> {
        self.last = Some(Last { template, start: found.whole.start, end: found.whole.end });
        Some(Dated { range: found.date, stamp: found.stamp })
    }
}
