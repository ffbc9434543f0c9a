//! What is known of a source as a row, for the disk: small, with a version, and read with suspicion.

use nightlatch_parse::log::Outcome;

use super::course::Course;
use super::good::{Good, Known, Run};
use super::hash::Seed;
use super::limits::Limits;
use super::pace::Pace;
use super::source::{Phone, Source};
use super::tries::Try;

/// The version of all rows.
const VERSION: u8 = 1;
/// The key of the row that is of no source.
pub(super) const ABOUT_ALL: &[u8] = b"all";
/// More of anything is in no row.
const MAX: u16 = 4096;

/// Each outcome has the number of its place.
const OUTCOMES: [Outcome; 8] = [
    Outcome::WrongPassword,
    Outcome::UnknownAccount,
    Outcome::NotAllowed,
    Outcome::Malformed,
    Outcome::UnknownNumber,
    Outcome::Challenged,
    Outcome::TooMany,
    Outcome::Succeeded,
];

/// The row of a source.
pub(super) fn write(source: &Source) -> Vec<u8> {
    let mut row = Writer(vec![VERSION]);
    for time in [source.seen, source.attacked, source.first_failure, source.last_failure] {
        row.time(time);
    }
    row.time(source.pace.empty_at);
    row.time(source.pace.since);
    row.number(source.pace.attempts);
    row.length(source.tries.len());
    for tried in &source.tries {
        row.time(tried.at);
        row.number(tried.session);
        row.number(tried.account);
        row.number(tried.pair);
        let outcome = OUTCOMES.iter().position(|known| *known == tried.outcome).unwrap_or(0);
        row.0.extend([u8::try_from(outcome).unwrap_or(0), tried.marks, tried.lines, tried.log]);
    }
    row.length(source.phones.len());
    for phone in &source.phones {
        row.number(phone.pair);
        row.number(phone.account);
        row.time(phone.since);
        row.time(phone.last);
        row.number(phone.attempts);
    }
    if let Some(good) = &source.good {
        row.run(good.full);
        row.run(good.low);
        row.length(good.accounts.len());
        for known in &good.accounts {
            row.number(known.account);
            row.run(known.run);
            row.time(known.told);
        }
    }
    row.0
}

/// The source of a row.
pub(super) fn read(row: &[u8], limits: &Limits) -> Option<Source> {
    let mut row = Reader::of(row)?;
    let mut source = Source {
        seen: row.time()?,
        attacked: row.time()?,
        first_failure: row.time()?,
        last_failure: row.time()?,
        ..Source::default()
    };
    source.pace = Pace { empty_at: row.time()?, since: row.time()?, attempts: row.number()? };
    source.tries = row.many(|row| {
        Some(Try {
            at: row.time()?,
            session: row.number()?,
            account: row.number()?,
            pair: row.number()?,
            outcome: *OUTCOMES.get(usize::from(row.byte()?))?,
            marks: row.byte()?,
            lines: row.byte()?,
            log: row.byte()?,
        })
    })?;
    source.tries.sort_by_key(|tried| tried.at);
    let too_many = source.tries.len().saturating_sub(limits.most_kept());
    source.tries.drain(..too_many);
    source.phones = row.many(|row| {
        Some(Phone {
            pair: row.number()?,
            account: row.number()?,
            since: row.time()?,
            last: row.time()?,
            attempts: row.number()?,
        })
    })?;
    if !row.0.is_empty() {
        let (full, low) = (row.run()?, row.run()?);
        let accounts = row.many(|row| {
            Some(Known { account: row.number()?, run: row.run()?, told: row.time()? })
        })?;
        source.good = Some(Box::new(Good { full, low, accounts }));
    }
    row.0.is_empty().then_some(source)
}

/// The row about all sources.
pub(super) fn write_all(seed: Seed, course: Option<&Course>) -> Vec<u8> {
    let mut row = Writer(vec![VERSION]);
    row.0.extend(seed.bytes());
    if let Some(course) = course {
        row.time(course.since);
        row.time(course.last);
        row.number(course.sources);
        row.0.extend(course.attempts.to_le_bytes());
    }
    row.0
}

/// The opposite of [`write_all`].
pub(super) fn read_all(row: &[u8]) -> Option<(Seed, Option<Course>)> {
    let mut row = Reader::of(row)?;
    let seed = Seed::new(row.take()?);
    if row.0.is_empty() {
        return Some((seed, None));
    }
    let course = Course {
        since: row.time()?,
        last: row.time()?,
        sources: row.number()?,
        attempts: u64::from_le_bytes(row.take()?),
    };
    row.0.is_empty().then_some((seed, Some(course)))
}

struct Writer(Vec<u8>);

impl Writer {
    fn time(&mut self, time: i64) {
        self.0.extend(time.to_le_bytes());
    }

    fn number(&mut self, number: u32) {
        self.0.extend(number.to_le_bytes());
    }

    fn length(&mut self, length: usize) {
        self.0.extend(u16::try_from(length).unwrap_or(MAX).to_le_bytes());
    }

    fn run(&mut self, run: Run) {
        self.time(run.since);
        self.time(run.last);
    }
}

struct Reader<'r>(&'r [u8]);

impl<'r> Reader<'r> {
    fn of(row: &'r [u8]) -> Option<Reader<'r>> {
        let mut row = Reader(row);
        (row.byte()? == VERSION).then_some(row)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]: [u8; 1]| byte)
    }

    fn time(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn run(&mut self) -> Option<Run> {
        Some(Run { since: self.time()?, last: self.time()? })
    }

    fn many<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = u16::from_le_bytes(self.take()?);
        // No room is made for what a row only claims to have.
        (length <= MAX).then_some(())?;
        (0..length).map(|_| one(self)).collect()
    }
}
