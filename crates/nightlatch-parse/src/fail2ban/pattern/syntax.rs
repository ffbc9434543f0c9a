//! Python's syntax of patterns, read into a tree.
//!
//! Text is bytes here: letters, digits and blanks are those of ASCII, and each byte of a character outside
//! ASCII counts as a letter.

use std::collections::BTreeMap;

use super::ast::{Assert, Look, Node, Repeat, Set};

/// The deepest nesting of groups.
const MAX_DEPTH: usize = 64;
/// The most groups of one pattern.
const MAX_GROUPS: usize = 200;

/// A pattern with the numbers of its named groups.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) node: Node,
    pub(crate) groups: usize,
    pub(crate) names: BTreeMap<String, usize>,
}

#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are Python's flags, each on or off")]
struct Flags {
    fold: bool,
    multiline: bool,
    dot_all: bool,
    verbose: bool,
}

/// Reads a pattern; `multiline` as Python's flag.
///
/// # Errors
/// What is wrong with the pattern, in words.
pub(crate) fn parse(text: &str, multiline: bool) -> Result<Parsed, String> {
    let mut parser = Parser {
        rest: text.as_bytes(),
        groups: 0,
        names: BTreeMap::new(),
        flags: Flags { multiline, ..Flags::default() },
        depth: 0,
    };
    let node = parser.alternatives()?;
    if !parser.rest.is_empty() {
        return Err("unbalanced closing parenthesis".to_owned());
    }
    Ok(Parsed { node, groups: parser.groups, names: parser.names })
}

struct Parser<'a> {
    rest: &'a [u8],
    groups: usize,
    names: BTreeMap<String, usize>,
    flags: Flags,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text.as_bytes()) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn until(&mut self, end: u8) -> Result<&'a str, String> {
        let at = self.rest.iter().position(|byte| *byte == end);
        let at = at.ok_or_else(|| format!("a {:?} is missing", char::from(end)))?;
        let (text, rest) = self.rest.split_at(at);
        self.rest = rest.get(1..).unwrap_or_default();
        std::str::from_utf8(text).map_err(|_| "invalid group name".to_owned())
    }

    fn alternatives(&mut self) -> Result<Node, String> {
        let mut all = vec![self.sequence()?];
        while self.eat("|") {
            all.push(self.sequence()?);
        }
        Ok(match all.len() {
            1 => all.pop().unwrap_or(Node::Empty),
            _ => Node::Alternatives(all),
        })
    }

    fn sequence(&mut self) -> Result<Node, String> {
        let mut nodes = Vec::new();
        loop {
            if self.flags.verbose {
                self.skip_blanks();
            }
            match self.peek() {
                None | Some(b'|' | b')') => break,
                Some(_) => {
                    let node = self.atom()?;
                    nodes.push(self.repeated(node)?);
                }
            }
        }
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.pop().unwrap_or(Node::Empty),
            _ => Node::Concat(nodes),
        })
    }

    fn skip_blanks(&mut self) {
        while let Some(byte) = self.peek() {
            if byte == b'#' {
                while self.next().is_some_and(|byte| byte != b'\n') {}
            } else if byte.is_ascii_whitespace() {
                self.next();
            } else {
                return;
            }
        }
    }

    fn repeated(&mut self, mut node: Node) -> Result<Node, String> {
        loop {
            if self.flags.verbose {
                self.skip_blanks();
            }
            let (min, max) = match self.peek() {
                Some(b'*') => (0, None),
                Some(b'+') => (1, None),
                Some(b'?') => (0, Some(1)),
                Some(b'{') => match counts(self.rest) {
                    Some((min, max, len)) => {
                        self.rest = self.rest.get(len.saturating_sub(1)..).unwrap_or_default();
                        (min, max)
                    }
                    None => return Ok(node),
                },
                _ => return Ok(node),
            };
            self.next();
            if max.is_some_and(|max| max < min) || min > 1000 || max.is_some_and(|max| max > 1000) {
                return Err(format!("a repetition of {min} to {max:?} times"));
            }
            let greedy = !self.eat("?");
            let possessive = greedy && self.eat("+");
            node = Node::Repeat(Box::new(Repeat { node, min, max, greedy }));
            if possessive {
                node = Node::Atomic(Box::new(node));
            }
        }
    }

    fn atom(&mut self) -> Result<Node, String> {
        let byte = self.next().ok_or("unexpected end of the pattern")?;
        Ok(match byte {
            b'(' => return self.group(),
            b'[' => Node::Set(self.class()?),
            b'.' if self.flags.dot_all => Node::Set(Set::empty().negated()),
            b'.' => Node::Set(Set::of(b'\n').negated()),
            b'^' if self.flags.multiline => Node::Assert(Assert::LineStart),
            b'^' => Node::Assert(Assert::Start),
            b'$' => Node::Assert(Assert::LineEnd),
            b'\\' => return self.escape(),
            b'*' | b'+' | b'?' => {
                return Err(format!("nothing to repeat before {:?}", char::from(byte)));
            }
            _ => self.literal(byte),
        })
    }

    fn literal(&self, byte: u8) -> Node {
        let set = Set::of(byte);
        Node::Set(if self.flags.fold { set.folded() } else { set })
    }

    fn group(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(format!("groups nested more than {MAX_DEPTH} deep"));
        }
        let flags = self.flags;
        let node = self.group_inside();
        self.depth -= 1;
        // Flags set alone in a group apply to what follows in the group around.
        if !matches!(node, Ok(Node::Empty)) {
            self.flags = flags;
        }
        node
    }

    fn group_inside(&mut self) -> Result<Node, String> {
        if !self.eat("?") {
            return self.capture(None);
        }
        if self.eat(":") {
            return self.inner();
        }
        if self.eat("P<") {
            let name = self.until(b'>')?;
            return self.capture(Some(name));
        }
        if self.eat("P=") {
            let name = self.until(b')')?;
            let group = self.named(name)?;
            return Ok(Node::Same(group, self.flags.fold));
        }
        if self.eat("#") {
            self.until(b')')?;
            return Ok(Node::Concat(Vec::new()));
        }
        if self.eat(">") {
            return Ok(Node::Atomic(Box::new(self.inner()?)));
        }
        if self.eat("(") {
            let name = self.until(b')')?;
            let group = self.named(name)?;
            return self.condition(group);
        }
        for (sign, ahead, negated) in
            [("=", true, false), ("!", true, true), ("<=", false, false), ("<!", false, true)]
        {
            if self.eat(sign) {
                let node = self.inner()?;
                if !ahead && node.max_len().is_none_or(|max| max != node.min_len()) {
                    return Err("look-behind requires a fixed width".to_owned());
                }
                return Ok(Node::Look(Look { ahead, negated }, Box::new(node)));
            }
        }
        self.inline_flags()
    }

    fn capture(&mut self, name: Option<&str>) -> Result<Node, String> {
        self.groups += 1;
        let number = self.groups;
        if number > MAX_GROUPS {
            return Err(format!("more than {MAX_GROUPS} groups"));
        }
        if let Some(name) = name
            && self.names.insert(name.to_owned(), number).is_some()
        {
            return Err(format!("the group {name:?} occurs twice"));
        }
        Ok(Node::Group(number, Box::new(self.inner()?)))
    }

    fn inner(&mut self) -> Result<Node, String> {
        let node = self.alternatives()?;
        if !self.eat(")") {
            return Err("a closing parenthesis is missing".to_owned());
        }
        // Distinct from flags alone, which are `Empty`.
        Ok(if matches!(node, Node::Empty) { Node::Concat(Vec::new()) } else { node })
    }

    fn named(&self, name: &str) -> Result<usize, String> {
        if let Ok(number) = name.parse::<usize>() {
            return if (1..=self.groups).contains(&number) {
                Ok(number)
            } else {
                Err(format!("no group {number}"))
            };
        }
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| format!("no group {name:?} before this position"))
    }

    fn condition(&mut self, group: usize) -> Result<Node, String> {
        let yes = self.sequence()?;
        let no = if self.eat("|") { self.sequence()? } else { Node::Empty };
        if !self.eat(")") {
            return Err("a condition with more than two branches, or unterminated".to_owned());
        }
        Ok(Node::If(group, Box::new(yes), Box::new(no)))
    }

    fn inline_flags(&mut self) -> Result<Node, String> {
        let mut on = true;
        while let Some(byte) = self.next() {
            match byte {
                b'i' => self.flags.fold = on,
                b'm' => self.flags.multiline = on,
                b's' => self.flags.dot_all = on,
                b'x' => self.flags.verbose = on,
                b'u' | b'a' | b'L' => {}
                b'-' => on = false,
                b':' => return self.inner(),
                b')' => return Ok(Node::Empty),
                _ => break,
            }
        }
        Err("unknown kind of group".to_owned())
    }

    fn escape(&mut self) -> Result<Node, String> {
        let byte = self.next().ok_or("the pattern ends with a backslash")?;
        Ok(match byte {
            b'A' => Node::Assert(Assert::Start),
            b'Z' => Node::Assert(Assert::End),
            b'b' => Node::Assert(Assert::WordBoundary),
            b'B' => Node::Assert(Assert::NoWordBoundary),
            b'1'..=b'9' => {
                let mut number = usize::from(byte - b'0');
                if let Some(digit @ b'0'..=b'9') = self.peek() {
                    self.next();
                    number = number * 10 + usize::from(digit - b'0');
                }
                Node::Same(self.named(&number.to_string())?, self.flags.fold)
            }
            _ if known_class(byte).is_some() => Node::Set(known_class(byte).unwrap_or_default()),
            _ => {
                let value = self.escaped_byte(byte)?;
                self.literal(value)
            }
        })
    }

    /// The byte that an escape stands for, in or outside of a class.
    fn escaped_byte(&mut self, byte: u8) -> Result<u8, String> {
        Ok(match byte {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'f' => 12,
            b'v' => 11,
            b'a' => 7,
            b'0' => 0,
            b'x' => {
                let digits = self.rest.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
                let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
                self.rest = self.rest.get(2..).unwrap_or_default();
                value
                    .filter(u8::is_ascii)
                    .ok_or("an escape \\x needs two hexadecimal digits, at most 7f")?
            }
            _ if byte.is_ascii_alphanumeric() => {
                return Err(format!("unknown escape \\{}", char::from(byte)));
            }
            _ => byte,
        })
    }

    fn class(&mut self) -> Result<Set, String> {
        let mut set = Set::empty();
        let negated = self.eat("^");
        let mut first = true;
        loop {
            let byte = self.next().ok_or("unterminated character class")?;
            if byte == b']' && !first {
                break;
            }
            first = false;
            let Some(from) = self.class_byte(byte, &mut set)? else { continue };
            let range =
                self.peek() == Some(b'-') && self.rest.get(1).is_some_and(|byte| *byte != b']');
            if !range {
                add_byte(&mut set, from);
                continue;
            }
            self.next();
            let byte = self.next().ok_or("unterminated character class")?;
            match self.class_byte(byte, &mut set)? {
                Some(to) if to < from => {
                    return Err("a range of a character class is in reverse order".to_owned());
                }
                Some(to) => set.add_range(from, to),
                None => {
                    add_byte(&mut set, from);
                    set.add(b'-');
                }
            }
        }
        if self.flags.fold {
            set = set.folded();
        }
        Ok(if negated { set.negated() } else { set })
    }

    /// A single byte of a class, or a known class that was added.
    fn class_byte(&mut self, byte: u8, set: &mut Set) -> Result<Option<u8>, String> {
        if byte != b'\\' {
            return Ok(Some(byte));
        }
        let byte = self.next().ok_or("the pattern ends with a backslash")?;
        if let Some(known) = known_class(byte) {
            set.union(&known);
            return Ok(None);
        }
        if byte == b'b' {
            return Ok(Some(8));
        }
        self.escaped_byte(byte).map(Some)
    }
}

/// A byte of a character outside ASCII stands for all of them.
fn add_byte(set: &mut Set, byte: u8) {
    if byte.is_ascii() {
        set.add(byte);
    } else {
        set.add_range(0x80, 0xff);
    }
}

fn known_class(byte: u8) -> Option<Set> {
    let mut set = Set::empty();
    match byte.to_ascii_lowercase() {
        b'd' => set.add_range(b'0', b'9'),
        b's' => [b' ', b'\t', b'\n', b'\r', 11, 12].into_iter().for_each(|byte| set.add(byte)),
        b'w' => {
            set.add_range(b'0', b'9');
            set.add_range(b'a', b'z');
            set.add_range(b'A', b'Z');
            set.add(b'_');
            set.add_range(0x80, 0xff);
        }
        _ => return None,
    }
    Some(if byte.is_ascii_uppercase() { set.negated() } else { set })
}

/// `{2}`, `{2,}`, `{,5}` or `{2,5}` at the start, with its length; anything else is literal text.
fn counts(text: &[u8]) -> Option<(u32, Option<u32>, usize)> {
    let end = text.iter().take(16).position(|byte| *byte == b'}')?;
    let inside = std::str::from_utf8(text.get(1..end)?).ok()?;
    let number = |text: &str| -> Option<u32> {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    };
    let (min, max) = match inside.split_once(',') {
        None => (number(inside)?, Some(number(inside)?)),
        Some(("", "")) => return None,
        Some((min, "")) => (number(min)?, None),
        Some(("", max)) => (0, Some(number(max)?)),
        Some((min, max)) => (number(min)?, Some(number(max)?)),
    };
    Some((min, max, end + 1))
}
