//! Rust source as the rules see it: without comments, strings and inline tests.

/// The code of a file: same lines and columns, but comments and the insides of strings are
/// blanks, and nothing follows the inline tests at its foot.
#[derive(Debug)]
pub(crate) struct Code {
    text: String,
}

/// A path named in the code, such as `std::fs`; groups are spelled out, one path each.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) path: String,
}

impl Code {
    pub(crate) fn of(source: &str) -> Code {
        let mut text = blank(source);
        if let Some(tests) = inline_tests(&text) {
            text.truncate(tests);
        }
        Code { text }
    }

    /// With the inline tests.
    pub(crate) fn whole(source: &str) -> Code {
        Code { text: blank(source) }
    }

    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// Every path that begins with one of the `roots` (`std`, `crate`, `super`).
    pub(crate) fn paths(&self, roots: &[&str]) -> Vec<Named> {
        let mut found = Vec::new();
        for root in roots {
            let begin = format!("{root}::");
            for (at, _) in self.text.match_indices(&begin) {
                let before = self.text.get(..at).unwrap_or_default();
                // Not in the middle of a path or of a longer word.
                if before.ends_with(|last: char| is_word(last) || last == ':') {
                    continue;
                }
                let line = before.matches('\n').count() + 1;
                let rest = self.text.get(at..).unwrap_or_default();
                let mut paths = Vec::new();
                spell_out(rest, "", &mut paths);
                found.extend(paths.into_iter().map(|path| Named { line, path }));
            }
        }
        found
    }
}

/// Reads one path, which may end in a group, and returns what follows it.
fn spell_out<'a>(mut rest: &'a str, prefix: &str, paths: &mut Vec<String>) -> &'a str {
    let mut path = prefix.to_owned();
    loop {
        rest = rest.trim_start();
        let word = rest.find(|next| !is_word(next)).unwrap_or(rest.len());
        let (segment, after) = rest.split_at(word);
        if !path.is_empty() && !segment.is_empty() {
            path.push_str("::");
        }
        path.push_str(segment);
        rest = after;
        let Some(after) = rest.trim_start().strip_prefix("::") else {
            break;
        };
        let after = after.trim_start();
        if let Some(group) = after.strip_prefix('{') {
            return group_of(group, &path, paths);
        }
        // A generic argument (`Vec::<u8>`) ends what interests us.
        if !after.starts_with(is_word) {
            break;
        }
        rest = after;
    }
    paths.push(path);
    rest
}

fn group_of<'a>(mut rest: &'a str, prefix: &str, paths: &mut Vec<String>) -> &'a str {
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            return rest;
        }
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        let after = if rest.starts_with(is_word) { spell_out(rest, prefix, paths) } else { rest };
        // To the next member: over `as other`, `*` and the comma.
        let next = after.find([',', '}']).unwrap_or(after.len());
        rest = after.get(next..).unwrap_or_default();
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
}

/// Whether a character may stand in a Rust name.
pub(crate) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Where the inline tests begin: at `#[cfg(test)]` before a module with a body.
pub(crate) fn inline_tests(text: &str) -> Option<usize> {
    let mark = "#[cfg(test)]";
    text.match_indices(mark).map(|(at, _)| at).find(|at| {
        let after = text.get(at + mark.len()..).unwrap_or_default();
        let item = after.split_inclusive(['{', ';']).next().unwrap_or_default();
        item.ends_with('{') && item.split(|c| !is_word(c)).any(|word| word == "mod")
    })
}

/// Replaces comments and the insides of strings and characters by blanks.
fn blank(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let hidden = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if !out.ends_with(is_word) && (first == 'r' || first == 'b' || first == 'c') {
            prefixed_string(rest)
        } else if first == '"' {
            string(rest)
        } else if first == '\'' {
            character(rest)
        } else {
            0
        };
        let taken = if hidden == 0 { first.len_utf8() } else { hidden };
        let (piece, after) = rest.split_at(taken.min(rest.len()));
        if hidden == 0 {
            out.push_str(piece);
        } else {
            out.extend(piece.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = after;
    }
    out
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// A string with letters and perhaps `#` before it: `b"`, `r#"`, `br"`; 0 if it is none.
fn prefixed_string(text: &str) -> usize {
    let letters = text.find(|c| !matches!(c, 'r' | 'b' | 'c')).unwrap_or(text.len());
    let (prefix, after) = text.split_at(letters);
    if prefix.len() > 2 {
        return 0;
    }
    let hashes = after.len() - after.trim_start_matches('#').len();
    let body = after.trim_start_matches('#');
    if prefix == "b" && body.starts_with('\'') {
        return letters + character(body);
    }
    if !body.starts_with('"') {
        return 0;
    }
    if !prefix.contains('r') {
        return letters + string(body);
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let inside = body.get(1..).unwrap_or_default();
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    letters + hashes + 1 + length
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character such as `'x'` or `'\n'`; 0 for a lifetime.
fn character(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            let mut chars = chars.skip(1);
            chars.find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1)
        }
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

/// Whether a file has only tests.
pub(super) fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests" || part == "tests.rs")
}
