//! A tree turned into instructions for the backtracking matcher.

use super::ast::{Assert, Look, Node, Repeat, Set};

/// The most instructions of one pattern.
const MAX_INSTRUCTIONS: usize = 20_000;

/// One step of the matcher; places are indexes of instructions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Byte(u8),
    Set(usize),
    /// Try the first, later the second.
    Split(usize, usize),
    Jump(usize),
    /// As many bytes of a set as possible, or first none.
    Many {
        set: usize,
        greedy: bool,
    },
    /// Note the place in a slot: twice the number of a group is its start, one more its end.
    Save(usize),
    Assert(Assert),
    /// Run what follows as a pattern of its own, then go on at the place.
    Look {
        look: Look,
        width: usize,
        after: usize,
    },
    Atomic {
        after: usize,
    },
    Same(usize, bool),
    /// Go on if the group took part, else at the place.
    If(usize, usize),
    /// Leave a loop whose body matched nothing since the slot was saved.
    Moved(usize),
    Done,
}

/// What a match needs to go on at an instruction.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Next {
    Anything,
    Byte(u8),
    Set(usize),
}

/// Instructions with what they refer to.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) steps: Vec<Step>,
    pub(crate) sets: Vec<Set>,
    /// For each instruction, what its way needs first.
    pub(crate) next: Vec<Next>,
    /// Slots: two for each group and the whole, and one for each loop that could match nothing.
    pub(crate) slots: usize,
    pub(crate) anchored: bool,
    pub(crate) first: Option<Set>,
    pub(crate) has_memory: bool,
}

/// Turns a tree into a program.
///
/// # Errors
/// If it would be too large.
pub(crate) fn compile(node: &Node, groups: usize) -> Result<Program, String> {
    let mut program = Program {
        steps: Vec::new(),
        sets: Vec::new(),
        next: Vec::new(),
        slots: (groups + 1) * 2,
        anchored: node.is_anchored(),
        first: node.first(),
        has_memory: node.has_memory(),
    };
    program.node(node)?;
    program.push(Step::Done)?;
    program.next = (0..program.steps.len()).map(|step| program.next_of(step)).collect();
    Ok(program)
}

impl Program {
    fn push(&mut self, step: Step) -> Result<usize, String> {
        if self.steps.len() >= MAX_INSTRUCTIONS {
            return Err("it is too large after expanding its repetitions".to_owned());
        }
        self.steps.push(step);
        Ok(self.steps.len() - 1)
    }

    fn next_of(&self, mut step: usize) -> Next {
        // Jumps go forwards and backwards; a few of them are enough.
        for _ in 0..16 {
            step = match self.steps.get(step) {
                Some(Step::Byte(byte)) => return Next::Byte(*byte),
                Some(Step::Set(set)) => return Next::Set(*set),
                Some(Step::Jump(place)) => *place,
                Some(Step::Save(_) | Step::Assert(_) | Step::Moved(_)) => step + 1,
                _ => return Next::Anything,
            };
        }
        Next::Anything
    }

    fn set(&mut self, at: usize, step: Step) {
        if let Some(place) = self.steps.get_mut(at) {
            *place = step;
        }
    }

    fn node(&mut self, node: &Node) -> Result<(), String> {
        match node {
            Node::Empty => {}
            Node::Set(set) => self.byte_or_set(set)?,
            Node::Concat(nodes) => nodes.iter().try_for_each(|node| self.node(node))?,
            Node::Alternatives(nodes) => self.alternatives(nodes)?,
            Node::Repeat(repeat) => self.repeat(repeat)?,
            Node::Group(number, node) => {
                self.push(Step::Save(number * 2))?;
                self.node(node)?;
                self.push(Step::Save(number * 2 + 1))?;
            }
            Node::Look(look, node) => {
                let at = self.push(Step::Done)?;
                self.node(node)?;
                self.push(Step::Done)?;
                self.set(
                    at,
                    Step::Look { look: *look, width: node.min_len(), after: self.steps.len() },
                );
            }
            Node::Atomic(node) => {
                let at = self.push(Step::Done)?;
                self.node(node)?;
                self.push(Step::Done)?;
                self.set(at, Step::Atomic { after: self.steps.len() });
            }
            Node::Assert(assert) => {
                self.push(Step::Assert(*assert))?;
            }
            Node::Same(group, fold) => {
                self.push(Step::Same(*group, *fold))?;
            }
            Node::If(group, yes, no) => {
                let condition = self.push(Step::Done)?;
                self.node(yes)?;
                let jump = self.push(Step::Done)?;
                self.set(condition, Step::If(*group, self.steps.len()));
                self.node(no)?;
                self.set(jump, Step::Jump(self.steps.len()));
            }
        }
        Ok(())
    }

    fn byte_or_set(&mut self, set: &Set) -> Result<(), String> {
        let mut bytes = set.bytes();
        let first = bytes.next();
        let single = first.filter(|_| bytes.next().is_none());
        drop(bytes);
        let step =
            if let Some(byte) = single { Step::Byte(byte) } else { Step::Set(self.number_of(set)) };
        self.push(step).map(|_| ())
    }

    fn number_of(&mut self, set: &Set) -> usize {
        let known = self.sets.iter().position(|other| other == set);
        known.unwrap_or_else(|| {
            self.sets.push(*set);
            self.sets.len() - 1
        })
    }

    fn alternatives(&mut self, nodes: &[Node]) -> Result<(), String> {
        let mut jumps = Vec::new();
        let Some((last, others)) = nodes.split_last() else { return Ok(()) };
        for node in others {
            let split = self.push(Step::Done)?;
            self.node(node)?;
            jumps.push(self.push(Step::Done)?);
            self.set(split, Step::Split(split + 1, self.steps.len()));
        }
        self.node(last)?;
        for jump in jumps {
            self.set(jump, Step::Jump(self.steps.len()));
        }
        Ok(())
    }

    fn repeat(&mut self, repeat: &Repeat) -> Result<(), String> {
        for _ in 0..repeat.min {
            self.node(&repeat.node)?;
        }
        let split = |inside, after| {
            if repeat.greedy { Step::Split(inside, after) } else { Step::Split(after, inside) }
        };
        if let (Node::Set(set), None) = (&repeat.node, repeat.max) {
            let set = self.number_of(set);
            return self.push(Step::Many { set, greedy: repeat.greedy }).map(|_| ());
        }
        let Some(max) = repeat.max else {
            let guard = (repeat.node.min_len() == 0).then(|| {
                self.slots += 1;
                self.slots - 1
            });
            let at = self.push(Step::Done)?;
            if let Some(slot) = guard {
                self.push(Step::Save(slot))?;
            }
            self.node(&repeat.node)?;
            if let Some(slot) = guard {
                self.push(Step::Moved(slot))?;
            }
            self.push(Step::Jump(at))?;
            self.set(at, split(at + 1, self.steps.len()));
            return Ok(());
        };
        let mut splits = Vec::new();
        for _ in repeat.min..max {
            splits.push(self.push(Step::Done)?);
            self.node(&repeat.node)?;
        }
        for at in splits {
            self.set(at, split(at + 1, self.steps.len()));
        }
        Ok(())
    }
}
