//! The backtracking matcher, for what an automaton cannot run: looking around, conditions on groups, and
//! text that has to occur again. It never takes more steps than it is given.
//!
//! Where the rest of a match depends on the place alone, each pair of instruction and place is tried once,
//! so that the time is linear in the text.

use super::ast::Set;
use super::program::{Next, Program, Step};

/// After that many steps, places that failed are remembered.
const STEPS_BEFORE_MEMORY: usize = 2_000;
/// How many ways most lines leave open at once: room for them is made once.
const USUAL_DEPTH: usize = 32;
/// The most memory for it, in bits.
const MAX_MEMORY: usize = 1 << 23;

/// Where the groups of a match begin and end: pairs of places, `usize::MAX` for those that took no part.
pub(crate) type Slots = Vec<usize>;

/// No place.
pub(crate) const NOWHERE: usize = usize::MAX;

/// What groups have to match, for a question such as "could this be the address, too?".
#[derive(Clone, Debug)]
pub(crate) struct Wanted<'a> {
    /// Numbers of groups that have to match exactly the range, if they take part; one of them must.
    pub(crate) groups: &'a [usize],
    /// Numbers of groups that must not take part.
    pub(crate) without: &'a [usize],
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Why there is no answer: the steps were used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// Finds the first match.
pub(crate) fn search(
    program: &Program,
    text: &[u8],
    wanted: Option<&Wanted<'_>>,
    steps: &mut usize,
) -> Result<Option<Slots>, Exhausted> {
    let mut machine = Machine::new(program, text, wanted, *steps);
    let found = machine.search();
    *steps = steps.saturating_sub(machine.used);
    Ok(found?.then_some(machine.slots))
}

/// What to go back to.
enum Back {
    /// Another way at that instruction and place.
    Way(usize, usize),
    /// A slot as it was.
    Slot(usize, usize),
    /// Fewer bytes of a repetition: the instruction after it, the fewest and the last place.
    Fewer(usize, usize, usize),
    /// More bytes of a repetition: the instruction after it, its set, and the last place.
    More(usize, usize, usize),
}

struct Machine<'a> {
    program: &'a Program,
    text: &'a [u8],
    wanted: Option<&'a Wanted<'a>>,
    slots: Slots,
    stack: Vec<Back>,
    failed: Vec<u64>,
    used: usize,
    limit: usize,
    /// How deep in patterns of their own, where nothing is remembered: they may succeed twice at a place.
    depth: usize,
}

impl<'a> Machine<'a> {
    fn new(
        program: &'a Program,
        text: &'a [u8],
        wanted: Option<&'a Wanted<'a>>,
        limit: usize,
    ) -> Self {
        let slots = vec![NOWHERE; program.slots];
        let (stack, failed) = (Vec::with_capacity(USUAL_DEPTH), Vec::new());
        Self { program, text, wanted, slots, stack, failed, used: 0, limit, depth: 0 }
    }

    fn search(&mut self) -> Result<bool, Exhausted> {
        let Some(first) = self.program.first else {
            let last = if self.program.anchored { 0 } else { self.text.len() };
            for start in 0..=last {
                if self.match_at(start)? {
                    return Ok(true);
                }
            }
            return Ok(false);
        };
        let last = if self.program.anchored { 1 } else { self.text.len() };
        for (start, byte) in self.text.iter().enumerate().take(last) {
            if first.has(*byte) && self.match_at(start)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn match_at(&mut self, start: usize) -> Result<bool, Exhausted> {
        self.slots.fill(NOWHERE);
        self.stack.clear();
        let end = self.run(0, start)?;
        let Some(end) = end else { return Ok(false) };
        self.save_quietly(0, start);
        self.save_quietly(1, end);
        Ok(true)
    }

    fn save_quietly(&mut self, slot: usize, at: usize) {
        if let Some(place) = self.slots.get_mut(slot) {
            *place = at;
        }
    }

    fn save(&mut self, slot: usize, at: usize) {
        if let Some(place) = self.slots.get_mut(slot) {
            self.stack.push(Back::Slot(slot, *place));
            *place = at;
        }
    }

    fn slot(&self, slot: usize) -> usize {
        self.slots.get(slot).copied().unwrap_or(NOWHERE)
    }

    /// Runs a pattern of its own inside of this one.
    fn run_apart(&mut self, step: usize, at: usize) -> Result<Option<usize>, Exhausted> {
        self.depth += 1;
        let end = self.run(step, at);
        self.depth -= 1;
        end
    }

    /// Runs from an instruction to its `Done`, and says where that was. Ways that remain are forgotten.
    fn run(&mut self, step: usize, at: usize) -> Result<Option<usize>, Exhausted> {
        let base = self.stack.len();
        let (mut step, mut at) = (step, at);
        loop {
            self.used += 1;
            if self.used > self.limit {
                return Err(Exhausted);
            }
            match self.advance(&mut step, &mut at)? {
                Some(true) => {
                    self.forget_ways(base);
                    return Ok(Some(at));
                }
                Some(false) => match self.back(base) {
                    Some(way) => (step, at) = way,
                    None => return Ok(None),
                },
                None => {}
            }
        }
    }

    /// Drops the other ways, but keeps how slots were, for whoever goes back further.
    fn forget_ways(&mut self, base: usize) {
        let mut kept = base;
        for place in base..self.stack.len() {
            if matches!(self.stack.get(place), Some(Back::Slot(..))) {
                self.stack.swap(kept, place);
                kept += 1;
            }
        }
        self.stack.truncate(kept);
    }

    fn back(&mut self, base: usize) -> Option<(usize, usize)> {
        while self.stack.len() > base {
            match self.stack.pop()? {
                Back::Slot(slot, was) => self.save_quietly(slot, was),
                Back::Way(step, at) => return Some((step, at)),
                Back::Fewer(step, low, high) => {
                    if let Some(at) = self.fewer(step, low, high) {
                        return Some((step, at));
                    }
                }
                Back::More(step, set, at) => {
                    if let Some(at) = self.more(step, set, at) {
                        return Some((step, at));
                    }
                }
            }
        }
        None
    }

    /// The byte that has to come at an instruction, if it is only one.
    #[inline]
    fn next_byte(&self, step: usize) -> Option<u8> {
        match self.program.next.get(step) {
            Some(Next::Byte(byte)) => Some(*byte),
            _ => None,
        }
    }

    /// Whether the way from an instruction on could go on with the byte at a place.
    #[inline]
    fn could_go_on(&self, step: usize, at: usize) -> bool {
        match self.program.next.get(step) {
            Some(Next::Byte(byte)) => self.text.get(at) == Some(byte),
            Some(Next::Set(set)) => self.set_has(*set, at),
            _ => true,
        }
    }

    #[inline]
    fn set_has(&self, set: usize, at: usize) -> bool {
        let set: Option<&Set> = self.program.sets.get(set);
        self.text.get(at).is_some_and(|byte| set.is_some_and(|set| set.has(*byte)))
    }

    /// The end of a repetition one byte earlier, or as much as the next byte asks for.
    fn fewer(&mut self, step: usize, low: usize, high: usize) -> Option<usize> {
        let next = self.next_byte(step);
        let at = match next {
            Some(byte) => {
                low + self.text.get(low..high)?.iter().rposition(|other| *other == byte)?
            }
            None => high.checked_sub(1).filter(|at| *at >= low)?,
        };
        self.used += (high - at) / 8;
        if at > low {
            self.stack.push(Back::Fewer(step, low, at));
        }
        Some(at)
    }

    /// The end of a repetition one byte later, or as much as the next byte asks for.
    fn more(&mut self, step: usize, set: usize, from: usize) -> Option<usize> {
        let next = self.next_byte(step);
        let mut at = from;
        loop {
            if !self.set_has(set, at) {
                return None;
            }
            at += 1;
            if next.is_none_or(|byte| self.text.get(at) == Some(&byte)) {
                self.used += (at - from) / 8;
                self.stack.push(Back::More(step, set, at));
                return Some(at);
            }
        }
    }

    /// Runs over a repetition of a set.
    fn many(&mut self, here: usize, set: usize, greedy: bool, at: &mut usize) -> bool {
        if self.was_here(here, *at) {
            return false;
        }
        let start = *at;
        if !greedy {
            self.stack.push(Back::More(here + 1, set, start));
            return self.next_byte(here + 1).is_none_or(|byte| self.text.get(start) == Some(&byte));
        }
        while self.set_has(set, *at) {
            *at += 1;
        }
        self.used += (*at - start) / 8;
        if *at > start {
            self.stack.push(Back::Fewer(here + 1, start, *at));
        }
        true
    }

    /// One step: `Some(true)` at the end, `Some(false)` on failure.
    #[inline]
    fn advance(&mut self, step: &mut usize, at: &mut usize) -> Result<Option<bool>, Exhausted> {
        let Some(instruction) = self.program.steps.get(*step).copied() else {
            return Ok(Some(false));
        };
        let here = *step;
        *step += 1;
        let good = match instruction {
            Step::Byte(byte) => {
                let good = self.text.get(*at) == Some(&byte);
                *at += 1;
                good
            }
            Step::Set(set) => {
                let good = self.set_has(set, *at);
                *at += 1;
                good
            }
            Step::Many { set, greedy } => self.many(here, set, greedy, at),
            Step::Split(first, second) => {
                if self.was_here(here, *at) {
                    return Ok(Some(false));
                }
                if self.could_go_on(first, *at) {
                    if self.could_go_on(second, *at) {
                        self.stack.push(Back::Way(second, *at));
                    }
                    *step = first;
                } else {
                    *step = second;
                }
                true
            }
            Step::Jump(place) => {
                *step = place;
                true
            }
            Step::Save(slot) => {
                let allowed = self.allows(slot, *at);
                self.save(slot, *at);
                allowed
            }
            Step::Assert(assert) => assert.holds(self.text, *at),
            Step::Look { look, width, after } => {
                *step = after;
                let from = if look.ahead { Some(*at) } else { at.checked_sub(width) };
                self.looks(here + 1, from)? != look.negated
            }
            Step::Atomic { after } => {
                *step = after;
                match self.run_apart(here + 1, *at)? {
                    Some(end) => {
                        *at = end;
                        true
                    }
                    None => false,
                }
            }
            Step::Same(group, fold) => self.same(group, fold, at),
            Step::If(group, otherwise) => {
                if self.slot(group * 2 + 1) == NOWHERE {
                    *step = otherwise;
                }
                true
            }
            Step::Moved(slot) => self.slot(slot) != *at,
            Step::Done => return Ok(Some(self.has_wanted(here))),
        };
        Ok(if good { None } else { Some(false) })
    }

    fn looks(&mut self, step: usize, from: Option<usize>) -> Result<bool, Exhausted> {
        let Some(from) = from else { return Ok(false) };
        Ok(self.run_apart(step, from)?.is_some())
    }

    fn same(&self, group: usize, fold: bool, at: &mut usize) -> bool {
        let range = self.slot(group * 2)..self.slot(group * 2 + 1);
        let Some(before) = self.text.get(range) else { return false };
        let end = at.saturating_add(before.len());
        let Some(now) = self.text.get(*at..end) else { return false };
        *at = end;
        if fold { now.eq_ignore_ascii_case(before) } else { now == before }
    }

    /// Whether a slot may be saved here.
    fn allows(&self, slot: usize, at: usize) -> bool {
        let Some(wanted) = self.wanted else { return true };
        let group = slot / 2;
        if wanted.without.contains(&group) {
            return false;
        }
        let place = if slot.is_multiple_of(2) { wanted.start } else { wanted.end };
        at == place || !wanted.groups.contains(&group)
    }

    /// At the last instruction: whether one of the wanted groups took part.
    fn has_wanted(&self, step: usize) -> bool {
        let is_last = step + 1 == self.program.steps.len();
        !is_last || self.took_wanted()
    }

    fn took_wanted(&self) -> bool {
        self.wanted.is_none_or(|wanted| {
            wanted.groups.iter().any(|group| self.slot(group * 2 + 1) != NOWHERE)
        })
    }

    /// Whether this way was tried before and failed. Only asked where ways part.
    fn was_here(&mut self, step: usize, at: usize) -> bool {
        if self.program.has_memory || self.depth > 0 || self.used < STEPS_BEFORE_MEMORY {
            return false;
        }
        let places = self.text.len() + 1;
        let bits = self.program.steps.len().saturating_mul(places * 2);
        if bits > MAX_MEMORY {
            return false;
        }
        if self.failed.is_empty() {
            self.failed = vec![0; bits / 64 + 1];
        }
        let bit = (step * places + at) * 2 + usize::from(self.took_wanted());
        let Some(word) = self.failed.get_mut(bit / 64) else { return false };
        let was = *word >> (bit % 64) & 1 == 1;
        *word |= 1 << (bit % 64);
        was
    }
}
