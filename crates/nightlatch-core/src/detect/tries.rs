//! The attempts of one source that are remembered: distinct ones, never lines.

use nightlatch_parse::log::Outcome;

/// Lines of one session so far apart are two attempts.
const SESSION: i64 = 10_000;
/// A line without a session and one with a session, so close together in two logs, are one attempt.
const ELSEWHERE: i64 = 2_000;
/// In the hash of a session: there is none, and the hash is that of the line.
pub(super) const NO_SESSION: u32 = 1 << 31;
/// One attempt with a wrong password writes at most so many lines, in all logs together. What is more is
/// another attempt in the same session: an attacker who never changes the Call-ID.
const MAX_WRONG: u8 = 4;
/// The same for lines with any other outcome: an unknown account has three or four in each of `messages`, `security`
/// and `security.json`.
const MAX_OTHER: u8 = 12;
/// What an attempt with a wrong password counts.
pub(super) const ONE: u32 = 4;

/// The source itself did it, and nobody else can have written the line.
pub(super) const CERTAIN: u8 = 1;
/// Was a reason for a brief ban already.
pub(super) const BRIEF: u8 = 1 << 1;
/// Was a reason for a ban already.
pub(super) const FULL: u8 = 1 << 2;
/// Made by a device with a wrong password, of which the administrator has heard.
pub(super) const PHONE: u8 = 1 << 3;
/// Somebody mistyped: he logged in soon afterwards.
pub(super) const FORGIVEN: u8 = 1 << 4;
/// The administrator has heard that the password was found.
pub(super) const TOLD: u8 = 1 << 5;
/// Made at a service that phones use.
pub(super) const DEVICE: u8 = 1 << 6;
/// Only in neighbourhoods: no attempt, but a network within that attacks.
pub(super) const NETWORK: u8 = 1 << 7;

/// An attempt. Small, because there may be millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Try {
    /// Milliseconds since 1970.
    pub(super) at: i64,
    /// The hash of its session; in neighbourhoods the number of the network within.
    pub(super) session: u32,
    /// The hash of its account, 0 where none is known.
    pub(super) account: u32,
    /// The hash of account, agent and address.
    pub(super) pair: u32,
    /// How it ended: the gravest of its lines.
    pub(super) outcome: Outcome,
    /// See the constants.
    pub(super) marks: u8,
    /// How many lines it has: with a wrong password (lower half), with another outcome (upper half).
    pub(super) lines: u8,
    /// A few bits of the hash of the log in which its first line was.
    pub(super) log: u8,
}

impl Try {
    pub(super) fn is(&self, marks: u8) -> bool {
        self.marks & marks != 0
    }

    /// A number was called that there is not, by somebody who has an account.
    pub(super) fn is_misdialled(&self) -> bool {
        self.outcome == Outcome::UnknownNumber && self.account != 0
    }

    /// What it counts, in quarters of an attempt with a wrong password.
    pub(super) fn score(&self) -> u32 {
        if self.is(NETWORK) {
            return 0;
        }
        match self.outcome {
            Outcome::Succeeded | Outcome::TooMany => 0,
            Outcome::Challenged => 1,
            Outcome::WrongPassword | Outcome::NotAllowed => ONE,
            Outcome::UnknownNumber if self.account != 0 => ONE,
            Outcome::UnknownNumber | Outcome::UnknownAccount | Outcome::Malformed => 2 * ONE,
        }
    }

    /// Whether it counts for a week, or only for minutes.
    pub(super) fn is_lasting(&self) -> bool {
        self.outcome != Outcome::Challenged && !self.is_misdialled()
    }

    /// Whether a line of another log may be of the same attempt, although only one of the two has a session:
    /// chan_sip writes none into `messages`.
    fn is_elsewhere(&self, line: &Try) -> bool {
        let told = |t: &Try| t.is(DEVICE) && !t.is(NETWORK) && t.outcome != Outcome::Challenged;
        (self.session ^ line.session) & NO_SESSION != 0
            && self.log != line.log
            && self.account == line.account
            && self.account != 0
            && told(self)
            && told(line)
    }

    /// Counts a line of the same session; false where that makes another attempt.
    fn count(&mut self, wrong: bool) -> bool {
        let (low, high) = (self.lines & 0xf, self.lines >> 4);
        match wrong {
            true if low < MAX_WRONG => self.lines += 1,
            false if high < MAX_OTHER => self.lines += 1 << 4,
            _ => return false,
        }
        true
    }
}

/// What a line changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// A new attempt, at that place.
    New(usize),
    /// More is known of that attempt, which had this outcome before.
    Changed(usize, Outcome),
    /// Nothing that counts.
    Nothing,
}

/// Notes a line: `line` is the attempt that it would be, and `has_session` says whether its session is
/// one, or stands for the text of the line: then only the same line in another log is the same attempt.
pub(super) fn note(tries: &mut Vec<Try>, line: Try, has_session: bool, room: Room) -> News {
    let wrong = line.outcome == Outcome::WrongPassword;
    for (place, known) in tries.iter_mut().enumerate().rev() {
        let same = known.session == line.session
            && apart(known.at, line.at) <= SESSION
            && (has_session || known.log != line.log)
            && known.count(wrong);
        if same {
            let before = known.outcome;
            let has_changed = merge(known, &line);
            return if has_changed { News::Changed(place, before) } else { News::Nothing };
        }
    }
    let recent = tries.iter_mut().enumerate().rev();
    let recent = recent.take_while(|(_, t)| line.at.saturating_sub(t.at) <= ELSEWHERE);
    let same = recent.filter(|(_, t)| apart(t.at, line.at) <= ELSEWHERE && t.is_elsewhere(&line));
    // Each log tells of an attempt once, in the order of the others.
    let nearest = same.min_by_key(|(_, t)| apart(t.at, line.at));
    if let Some((place, known)) = nearest
        && known.count(wrong)
    {
        // From here on, `log` is that of the line without a session.
        match known.session & NO_SESSION {
            0 => known.log = line.log,
            _ => known.session = line.session,
        }
        let before = known.outcome;
        let has_changed = merge(known, &line);
        return if has_changed { News::Changed(place, before) } else { News::Nothing };
    }
    let mut line = line;
    line.lines = if wrong { 1 } else { 1 << 4 };
    News::New(insert(tries, line, room))
}

/// Adds what another line says of an attempt.
fn merge(known: &mut Try, line: &Try) -> bool {
    let before = *known;
    known.marks |= line.marks & CERTAIN;
    if known.account == 0 {
        (known.account, known.pair) = (line.account, line.pair);
    }
    if line.score() > known.score() {
        known.outcome = line.outcome;
    }
    (before.marks, before.outcome, before.account) != (known.marks, known.outcome, known.account)
}

/// How many attempts of a source are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) all: usize,
    /// Of those that have had their consequence.
    pub(super) done: usize,
}

/// Puts an attempt where it belongs by time, and forgets one where there are too many: first what has had
/// its consequence, then challenges, then the oldest.
pub(super) fn insert(tries: &mut Vec<Try>, tried: Try, room: Room) -> usize {
    let is_done = |t: &Try| t.is(FULL | PHONE | FORGIVEN);
    let is_full = tries.len() >= room.all;
    if is_full
        || (tries.len() >= room.done && tries.iter().filter(|t| is_done(t)).count() >= room.done)
    {
        let victim = tries
            .iter()
            .position(is_done)
            .or_else(|| tries.iter().position(|t| t.outcome == Outcome::Challenged))
            .or_else(|| tries.iter().position(|t| t.is(BRIEF)))
            .unwrap_or(0);
        tries.remove(victim);
    }
    let place = tries.iter().rposition(|t| t.at <= tried.at).map_or(0, |before| before + 1);
    if tries.len() == tries.capacity() {
        // Most sources try once: room for what there is, not for four.
        tries.reserve_exact((tries.len() / 2).max(1));
    }
    tries.insert(place, tried);
    place
}

/// Forgets what is more than `memory` older than `at`. What is later stays: lines of several logs come in
/// any order, and after a clock was wrong nothing is too many that lies so far apart.
pub(super) fn forget(tries: &mut Vec<Try>, at: i64, memory: i64) {
    let from = at.saturating_sub(memory);
    if tries.first().is_some_and(|t| t.at < from) {
        tries.retain(|t| t.at >= from);
    }
}

/// Milliseconds between two moments, whichever is the earlier.
pub(super) fn apart(one: i64, other: i64) -> i64 {
    one.saturating_sub(other).saturating_abs()
}

/// Too many attempts within a span of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// In quarters of an attempt with a wrong password.
    pub(super) score: u32,
    /// Milliseconds.
    pub(super) within: i64,
    /// Whether only [lasting](Try::is_lasting) attempts count.
    pub(super) lasting: bool,
}

/// Attempts that are too many: the places of the first and the last, and what they count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) first: usize,
    pub(super) last: usize,
    pub(super) score: u32,
}

impl Rule {
    /// The earliest run of attempts with the one at `place` among them that are too many.
    pub(super) fn broken(
        &self,
        tries: &[Try],
        place: usize,
        counts: impl Fn(&Try) -> bool,
    ) -> Option<Window> {
        let score_of = |t: &Try| {
            if counts(t) && (t.is_lasting() || !self.lasting) { t.score() } else { 0 }
        };
        if tries.get(place).map(score_of)? == 0 {
            return None;
        }
        let (mut first, mut score) = (0, 0);
        for (last, tried) in tries.iter().enumerate() {
            score += score_of(tried);
            while let Some(old) = tries.get(first).filter(|t| apart(tried.at, t.at) > self.within) {
                score -= score_of(old);
                first += 1;
            }
            if first > place {
                return None;
            }
            if last >= place && score >= self.score {
                // What happened at the same moment belongs to it.
                let same = tries.iter().skip(last + 1).take_while(|t| t.at == tried.at);
                let more = same.clone().count();
                score += same.map(score_of).sum::<u32>();
                return Some(Window { first, last: last + more, score });
            }
        }
        None
    }
}
