//! What a pattern means, independent of the engine that runs it.

/// A set of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Set([u64; 4]);

impl Set {
    pub(crate) const fn empty() -> Self {
        Self([0; 4])
    }

    pub(crate) fn of(byte: u8) -> Self {
        let mut set = Self::empty();
        set.add(byte);
        set
    }

    pub(crate) fn add(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    pub(crate) fn add_range(&mut self, from: u8, to: u8) {
        for byte in from..=to {
            self.add(byte);
        }
    }

    pub(crate) fn union(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine |= theirs;
        }
    }

    #[must_use]
    pub(crate) fn negated(&self) -> Self {
        Self(self.0.map(|word| !word))
    }

    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word >> (byte & 63) & 1 == 1)
    }

    /// Upper and lower case of each letter of ASCII.
    #[must_use]
    pub(crate) fn folded(&self) -> Self {
        let mut out = *self;
        for byte in (b'a'..=b'z').chain(b'A'..=b'Z') {
            if self.has(byte) {
                out.add(byte ^ 0x20);
            }
        }
        out
    }

    /// Its only byte. With `fold`, in lower case, and a letter in both cases counts as one.
    pub(crate) fn single(&self, fold: bool) -> Option<u8> {
        let mut found = None;
        for byte in self.bytes() {
            let byte = if fold { byte.to_ascii_lowercase() } else { byte };
            if found.is_some_and(|other| other != byte) {
                return None;
            }
            found = Some(byte);
        }
        found
    }

    pub(crate) fn bytes(&self) -> impl Iterator<Item = u8> + '_ {
        (0..=255u8).filter(|byte| self.has(*byte))
    }
}

/// A pattern.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Empty,
    Set(Set),
    Concat(Vec<Node>),
    Alternatives(Vec<Node>),
    Repeat(Box<Repeat>),
    /// A capturing group with its number.
    Group(usize, Box<Node>),
    Look(Look, Box<Node>),
    /// What it matched once, it does not give back.
    Atomic(Box<Node>),
    Assert(Assert),
    /// What the group of that number matched, regardless of case if so asked.
    Same(usize, bool),
    /// The first if the group of that number took part, else the second.
    If(usize, Box<Node>, Box<Node>),
}

/// A part that may occur several times.
#[derive(Clone, Debug)]
pub(crate) struct Repeat {
    pub(crate) node: Node,
    pub(crate) min: u32,
    pub(crate) max: Option<u32>,
    pub(crate) greedy: bool,
}

/// Looking around without moving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) ahead: bool,
    pub(crate) negated: bool,
}

/// A condition on a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Assert {
    Start,
    LineStart,
    LineEnd,
    End,
    WordBoundary,
    NoWordBoundary,
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl Assert {
    /// Whether it is true between the bytes before and after `at`.
    pub(crate) fn holds(self, text: &[u8], at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|i| text.get(i)).copied();
        let after = text.get(at).copied();
        match self {
            Self::Start => at == 0,
            Self::LineStart => before.is_none_or(|byte| byte == b'\n'),
            Self::LineEnd => after.is_none_or(|byte| byte == b'\n'),
            Self::End => after.is_none(),
            Self::WordBoundary => before.is_some_and(is_word) != after.is_some_and(is_word),
            Self::NoWordBoundary => before.is_some_and(is_word) == after.is_some_and(is_word),
        }
    }
}

/// A class with so many bytes stands for "some text".
const WIDE: usize = 128;

impl Node {
    /// The same with any text where some text is allowed, and without conditions: what a line of that kind
    /// looks like if its texts contain what their author did not expect.
    pub(crate) fn relaxed(&self) -> Self {
        let any = || Self::Set(Set::of(b'\n').negated());
        match self {
            Self::Empty | Self::Look(..) => Self::Empty,
            Self::Set(_) | Self::Assert(_) => self.clone(),
            Self::Concat(nodes) => Self::Concat(nodes.iter().map(Self::relaxed).collect()),
            Self::Alternatives(nodes) => {
                Self::Alternatives(nodes.iter().map(Self::relaxed).collect())
            }
            Self::Repeat(repeat) => {
                let wide = matches!(&repeat.node, Self::Set(set) if set.bytes().count() >= WIDE);
                let many = repeat.max.is_none_or(|max| max >= 10);
                let (node, max) =
                    if wide && many { (any(), None) } else { (repeat.node.relaxed(), repeat.max) };
                Self::Repeat(Box::new(Repeat { node, min: repeat.min, max, greedy: repeat.greedy }))
            }
            Self::Group(number, node) => Self::Group(*number, Box::new(node.relaxed())),
            Self::Atomic(node) => node.relaxed(),
            Self::Same(..) => {
                Self::Repeat(Box::new(Repeat { node: any(), min: 0, max: None, greedy: true }))
            }
            Self::If(_, yes, no) => Self::Alternatives(vec![yes.relaxed(), no.relaxed()]),
        }
    }

    /// Whether a linear-time automaton can run it.
    pub(crate) fn is_regular(&self) -> bool {
        match self {
            Self::Empty | Self::Set(_) | Self::Assert(_) => true,
            Self::Concat(nodes) | Self::Alternatives(nodes) => nodes.iter().all(Self::is_regular),
            Self::Repeat(repeat) => repeat.node.is_regular(),
            Self::Group(_, node) => node.is_regular(),
            Self::Look(..) | Self::Atomic(_) | Self::Same(..) | Self::If(..) => false,
        }
    }

    /// Whether what follows depends on what groups matched, not on the place alone.
    pub(crate) fn has_memory(&self) -> bool {
        match self {
            Self::Empty | Self::Set(_) | Self::Assert(_) => false,
            Self::Concat(nodes) | Self::Alternatives(nodes) => nodes.iter().any(Self::has_memory),
            Self::Repeat(repeat) => repeat.node.has_memory(),
            Self::Group(_, node) | Self::Look(_, node) | Self::Atomic(node) => node.has_memory(),
            Self::Same(..) | Self::If(..) => true,
        }
    }

    /// The fewest bytes that it matches.
    pub(crate) fn min_len(&self) -> usize {
        match self {
            Self::Empty | Self::Assert(_) | Self::Look(..) | Self::Same(..) => 0,
            Self::Set(_) => 1,
            Self::Concat(nodes) => {
                nodes.iter().fold(0, |sum, node| sum.saturating_add(node.min_len()))
            }
            Self::Alternatives(nodes) => nodes.iter().map(Self::min_len).min().unwrap_or(0),
            Self::Repeat(repeat) => repeat.node.min_len().saturating_mul(repeat.min as usize),
            Self::Group(_, node) | Self::Atomic(node) => node.min_len(),
            Self::If(_, yes, no) => yes.min_len().min(no.min_len()),
        }
    }

    /// The most bytes that it matches; `None` without bound.
    pub(crate) fn max_len(&self) -> Option<usize> {
        match self {
            Self::Empty | Self::Assert(_) | Self::Look(..) => Some(0),
            Self::Set(_) => Some(1),
            Self::Concat(nodes) => {
                nodes.iter().try_fold(0usize, |sum, node| sum.checked_add(node.max_len()?))
            }
            Self::Alternatives(nodes) => {
                nodes.iter().try_fold(0, |most, node| Some(most.max(node.max_len()?)))
            }
            Self::Repeat(repeat) => repeat.node.max_len()?.checked_mul(repeat.max? as usize),
            Self::Group(_, node) | Self::Atomic(node) => node.max_len(),
            Self::Same(..) => None,
            Self::If(_, yes, no) => Some(yes.max_len()?.max(no.max_len()?)),
        }
    }

    /// Whether each match begins at the start of the text.
    pub(crate) fn is_anchored(&self) -> bool {
        match self {
            Self::Assert(assert) => *assert == Assert::Start,
            Self::Concat(nodes) => {
                for node in nodes {
                    if node.is_anchored() {
                        return true;
                    }
                    if node.max_len() != Some(0) {
                        return false;
                    }
                }
                false
            }
            Self::Alternatives(nodes) => !nodes.is_empty() && nodes.iter().all(Self::is_anchored),
            Self::Repeat(repeat) => repeat.min > 0 && repeat.node.is_anchored(),
            Self::Group(_, node) | Self::Atomic(node) => node.is_anchored(),
            _ => false,
        }
    }

    /// The bytes with which a match can begin; `None` if it can be empty or anything.
    pub(crate) fn first(&self) -> Option<Set> {
        match self {
            Self::Set(set) => Some(*set),
            Self::Concat(nodes) => {
                let mut all = Set::empty();
                for node in nodes {
                    if node.max_len() == Some(0) {
                        continue;
                    }
                    all.union(&node.first_or_nothing()?);
                    if node.min_len() > 0 {
                        return Some(all);
                    }
                }
                None
            }
            Self::Alternatives(nodes) => {
                let mut all = Set::empty();
                for node in nodes {
                    all.union(&node.first()?);
                }
                Some(all)
            }
            Self::Repeat(repeat) if repeat.min > 0 => repeat.node.first(),
            Self::Group(_, node) | Self::Atomic(node) => node.first(),
            _ => None,
        }
    }

    /// The bytes with which a match that is not empty can begin.
    fn first_or_nothing(&self) -> Option<Set> {
        match self {
            Self::Repeat(repeat) => repeat.node.first_or_nothing(),
            Self::Alternatives(nodes) => {
                let mut all = Set::empty();
                for node in nodes {
                    if node.max_len() != Some(0) {
                        all.union(&node.first_or_nothing()?);
                    }
                }
                Some(all)
            }
            Self::Group(_, node) | Self::Atomic(node) => node.first_or_nothing(),
            _ => self.first(),
        }
    }
}
