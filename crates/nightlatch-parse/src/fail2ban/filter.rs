//! A loaded filter, and how it reads a line.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::ops::Range;

use super::caught::{Caught, Role, Roles, Standing, addresses};
use super::date::Detector;
use super::definition::{self, Definition};
use super::pattern::{Exhausted, Pattern, Places, Wanted};
use super::prefilter::Prefilter;
use super::session::Sessions;
use super::span::Span;
use super::{FilterError, Kind, Match, Reference, Source, host};
use crate::log::{MAX_LINE, Stamp};

/// The most steps of backtracking for one line.
const STEPS: usize = 200_000;
/// The most steps to find out whether another address could be meant.
const STEPS_TO_DOUBT: usize = 200_000;
/// The most addresses of one line that are considered.
const MAX_ADDRESSES: usize = 16;

/// How long a date counts for lines without any, in seconds.
const MAX_DATE_AGE: u64 = 60;

/// An expression with the meaning of its groups.
#[derive(Clone, Debug)]
struct Rule {
    pattern: Pattern,
    roles: Roles,
}

/// A loaded filter, with what it remembers of earlier lines.
#[derive(Clone, Debug)]
pub struct Filter {
    source: Source,
    prefix: Option<Rule>,
    /// The group of the prefix to which the other expressions are applied.
    content: Option<usize>,
    fail: Vec<Rule>,
    ignore: Vec<Pattern>,
    dates: Detector,
    prefilter: Prefilter,
    journal: Vec<Vec<String>>,
    /// Above 1, expressions match over that many lines.
    max_lines: usize,
    lines: VecDeque<Vec<u8>>,
    sessions: Sessions,
    /// The last date, and when its line was read, for lines of the same message that have none.
    last_date: Option<(Stamp, u64)>,
    gave_up: u64,
}

impl Filter {
    /// Loads a filter and what it includes. `files` gives the text of a file, or `None` where there is none.
    ///
    /// # Errors
    /// [`FilterError`]: which file, which line or option, what is wrong, and what to do.
    pub fn load(
        reference: &Reference,
        source: Source,
        files: &mut dyn FnMut(&str) -> Option<String>,
    ) -> Result<Self, FilterError> {
        let definition = definition::load(reference.path(), reference.options(), source, files)?;
        Self::compile(&definition, source).map_err(|(option, what)| FilterError::Option {
            file: reference.path().to_owned(),
            option,
            what,
        })
    }

    fn compile(definition: &Definition, source: Source) -> Result<Self, (String, String)> {
        let multiline = definition.max_lines > 1;
        let rule = |option: &str, number: usize, text: &str| -> Result<Rule, (String, String)> {
            let text = host::replace_tags(text, definition.only_addresses);
            let pattern = Pattern::new(&text, multiline);
            let pattern =
                pattern.map_err(|what| (format!("{option}, expression {}", number + 1), what))?;
            let roles = Roles::of(&pattern);
            Ok(Rule { pattern, roles })
        };
        let rules = |option: &str, texts: &[String]| -> Result<Vec<Rule>, (String, String)> {
            texts.iter().enumerate().map(|(number, text)| rule(option, number, text)).collect()
        };
        let prefix =
            definition.prefix.as_ref().map(|text| rule("prefregex", 0, text)).transpose()?;
        let fail = rules("failregex", &definition.fail)?;
        let named = prefix.as_ref().is_some_and(|prefix| prefix.roles.can_name_source());
        if fail.is_empty() {
            return Err(("failregex".to_owned(), "it is missing or empty".to_owned()));
        }
        if let Some(number) = fail.iter().position(|rule| !named && !rule.roles.can_name_source()) {
            let what = "it has no <HOST>, <ADDR>, <F-ID> or <F-MLFID>".to_owned();
            return Err((format!("failregex, expression {}", number + 1), what));
        }
        let ignore = rules("ignoreregex", &definition.ignore)?
            .into_iter()
            .map(|rule| rule.pattern)
            .collect();
        let dates = Detector::new(definition.dates.as_deref())
            .map_err(|what| ("datepattern".to_owned(), what))?;
        let patterns: Vec<&Pattern> = fail.iter().map(|rule| &rule.pattern).collect();
        let prefilter = Prefilter::new(prefix.as_ref().map(|rule| &rule.pattern), &patterns);
        let prefilter = prefilter.map_err(|what| ("failregex".to_owned(), what))?;
        Ok(Self {
            source,
            content: prefix.as_ref().and_then(|prefix| prefix.pattern.group("content")),
            prefix,
            fail,
            ignore,
            dates,
            prefilter,
            journal: definition.journal.clone(),
            max_lines: definition.max_lines,
            lines: VecDeque::new(),
            sessions: Sessions::default(),
            last_date: None,
            gave_up: 0,
        })
    }

    /// Which entries of the journal the filter is made for: alternatives, each a list of terms as for
    /// `journalctl`.
    pub fn journal_match(&self) -> &[Vec<String>] {
        &self.journal
    }

    /// How many expressions it has, and how many of them run in linear time.
    pub fn expressions(&self) -> (usize, usize) {
        let linear = self.fail.iter().filter(|rule| rule.pattern.is_linear()).count();
        (self.fail.len(), linear)
    }

    /// How many lines were given up, because they were too long or took too many steps of backtracking.
    pub fn gave_up(&self) -> u64 {
        self.gave_up
    }

    /// Reads a line. `now` is the time in seconds of any clock that does not run backwards; sessions of
    /// several lines are forgotten by it.
    ///
    /// From the journal, a line is the host name, the identifier with the process in brackets and a colon,
    /// and the message, e.g. `pbx sshd[101]: Failed password for root from 192.0.2.1 port 4 ssh2`.
    pub fn read(&mut self, line: &[u8], now: u64) -> Option<Match> {
        if line.len() > MAX_LINE {
            self.gave_up = self.gave_up.saturating_add(1);
            return None;
        }
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let possible = self.prefilter.look(line);
        if self.max_lines == 1 && !possible {
            return None;
        }
        let line = one_line(line);
        let found = self.examine(&line, now, &mut { STEPS });
        self.gave_up = self.gave_up.saturating_add(u64::from(found.is_err()));
        found.ok().flatten()
    }

    fn examine(
        &mut self,
        line: &[u8],
        now: u64,
        steps: &mut usize,
    ) -> Result<Option<Match>, Exhausted> {
        let mut stamp = None;
        let mut text = Vec::with_capacity(line.len() + 1);
        let dated = if self.source == Source::File { self.dates.find(line, steps)? } else { None };
        match dated {
            Some(dated) => {
                stamp = dated.stamp;
                text.extend_from_slice(line.get(..dated.range.start).unwrap_or_default());
                text.extend_from_slice(line.get(dated.range.end..).unwrap_or_default());
            }
            None => text.extend_from_slice(line),
        }
        if self.max_lines > 1 {
            let last = self.last_date.filter(|(_, read)| now.saturating_sub(*read) <= MAX_DATE_AGE);
            self.last_date = stamp.map(|stamp| (stamp, now)).or(last);
            stamp = stamp.or(last.map(|(stamp, _)| stamp));
        }
        text.push(b'\n');
        if self.max_lines > 1 {
            text = self.with_earlier_lines(text);
        }
        self.match_text(&text, stamp, now, steps)
    }

    /// Adds a line to those remembered, and returns all as one text.
    fn with_earlier_lines(&mut self, line: Vec<u8>) -> Vec<u8> {
        self.lines.push_back(line);
        while self.lines.len() > self.max_lines {
            self.lines.pop_front();
        }
        self.lines.iter().flatten().copied().collect()
    }

    fn match_text(
        &mut self,
        text: &[u8],
        stamp: Option<Stamp>,
        now: u64,
        steps: &mut usize,
    ) -> Result<Option<Match>, Exhausted> {
        let mut caught = Caught::default();
        let mut content: Cow<'_, [u8]> = Cow::Borrowed(text);
        if let Some(prefix) = &self.prefix {
            let Some(places) = prefix.pattern.find(text, steps)? else { return Ok(None) };
            caught.add(text, &places, &prefix.roles);
            let inner = self
                .content
                .and_then(|group| places.range(group))
                .filter(|inner| !inner.is_empty());
            if let Some(inner) = inner {
                content = as_line(text, inner);
            }
        }
        // As in fail2ban: with few of them, they are applied to the whole line.
        if !self.ignore.is_empty()
            && self.ignore.len() + 2 < self.fail.len()
            && self.is_ignored(text, steps)?
        {
            return Ok(Some(self.blank(Kind::Ignored, stamp, 0)));
        }
        for number in 0..self.fail.len() {
            let Some(rule) = self.fail.get(number) else { continue };
            if self.max_lines == 1 && !self.prefilter.is_possible(number) {
                continue;
            }
            let Some(places) = rule.pattern.find(&content, steps)? else { continue };
            caught.add(&content, &places, &rule.roles);
            let others = self.others(&content, &caught, rule, &places);
            let ignored = if self.max_lines > 1 {
                let span = Span::of(&rule.pattern, &places);
                self.forget(&span);
                self.is_ignored(&span.lines(&content), steps)?
            } else {
                self.is_ignored(&content, steps)?
            };
            if ignored {
                return Ok(Some(self.blank(Kind::Ignored, stamp, number)));
            }
            let another = self.another(&content, &others);
            return Ok(Some(self.judge(caught, another, number, stamp, now)));
        }
        Ok(None)
    }

    fn is_ignored(&self, text: &[u8], steps: &mut usize) -> Result<bool, Exhausted> {
        for pattern in &self.ignore {
            if pattern.find(text, steps)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes the lines of a match from those remembered.
    fn forget(&mut self, span: &Span) {
        let mut start = 0;
        self.lines.retain(|line| {
            let range = start..start + line.len();
            start = range.end;
            !span.covers(&range)
        });
    }

    /// What a match means, with what earlier lines of its session said.
    fn judge(
        &mut self,
        caught: Caught,
        another: Option<IpAddr>,
        rule: usize,
        stamp: Option<Stamp>,
        now: u64,
    ) -> Match {
        let mut found = self.blank(Kind::Failure, stamp, rule);
        found.another = another;
        found.failures = 1;
        let mut caught = caught;
        if let Some(name) = caught.text(Role::Session).map(<[u8]>::to_vec) {
            let session = self.sessions.merge(&name, caught, now);
            match another {
                Some(another) => self.sessions.doubt(&name, another),
                None => found.another = session.doubtful,
            }
            caught = session.caught;
            found.users = session.users;
            found.failures = session.failures;
            if caught.source().is_none() && !caught.has(Role::NoFailure) {
                self.sessions.wait(&name);
                found.kind = Kind::Waiting;
            }
            found.session = Some(name);
        }
        if caught.has(Role::NoFailure) {
            found.kind = Kind::NotFailure;
        }
        found.address = caught.address();
        found.host = caught.source().map(<[u8]>::to_vec);
        found.user = caught.text(Role::User).map(<[u8]>::to_vec);
        found
    }

    #[expect(clippy::unused_self, reason = "it belongs to the reading of a line")]
    fn blank(&self, kind: Kind, stamp: Option<Stamp>, rule: usize) -> Match {
        Match {
            kind,
            stamp,
            address: None,
            host: None,
            user: None,
            users: Vec::new(),
            session: None,
            failures: 0,
            another: None,
            rule,
        }
    }

    /// The addresses of a match's lines other than the one that it caught.
    fn others(&self, text: &[u8], caught: &Caught, rule: &Rule, places: &Places) -> Vec<Standing> {
        let Some(mine) = caught.address() else { return Vec::new() };
        let groups = rule.roles.groups(&[Role::Ip4, Role::Ip6, Role::Id]);
        let place = groups.into_iter().find_map(|group| places.range(group)).unwrap_or(0..0);
        let span = (self.max_lines > 1).then(|| Span::of(&rule.pattern, places));
        addresses(text, MAX_ADDRESSES, |other| {
            let belongs = span.as_ref().is_none_or(|span| span.covers(&other.range));
            belongs && other.address != mine && !other.is_part_of(&place)
        })
    }

    /// Another address, of those given, that some expression could have matched.
    fn another(&self, text: &[u8], others: &[Standing]) -> Option<IpAddr> {
        if others.len() >= MAX_ADDRESSES {
            return others.first().map(|other| other.address);
        }
        let mut steps = STEPS_TO_DOUBT;
        others
            .iter()
            .find(|other| self.could_be(text, &other.range, &mut steps))
            .map(|other| other.address)
    }

    /// Whether an expression could match with the address at that place. Without an answer: yes.
    fn could_be(&self, text: &[u8], range: &Range<usize>, steps: &mut usize) -> bool {
        self.fail.iter().enumerate().any(|(number, rule)| {
            let groups = rule.roles.groups(&[Role::Ip4, Role::Ip6, Role::Id]);
            if groups.is_empty() || (self.max_lines == 1 && !self.prefilter.is_possible(number)) {
                return false;
            }
            let without = rule.roles.groups(&[Role::Name]);
            let wanted =
                Wanted { groups: &groups, without: &without, start: range.start, end: range.end };
            rule.pattern.could(text, &wanted, steps).unwrap_or(true)
        })
    }
}

/// A text with line breaks inside, as the journal allows them, becomes one line.
fn one_line(line: &[u8]) -> Cow<'_, [u8]> {
    if !line.contains(&b'\n') {
        return Cow::Borrowed(line);
    }
    let mut out = Vec::with_capacity(line.len() + 8);
    for byte in line {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            _ => out.push(*byte),
        }
    }
    Cow::Owned(out)
}

/// A part of a text as a line of its own, with its end.
fn as_line(text: &[u8], part: Range<usize>) -> Cow<'_, [u8]> {
    match text.get(part.start..=part.end) {
        Some(line) if line.ends_with(b"\n") => Cow::Borrowed(line),
        _ => {
            let mut line = text.get(part).unwrap_or_default().to_vec();
            line.push(b'\n');
            Cow::Owned(line)
        }
    }
}
