//! Text without which a pattern cannot match: the first look at a line.

use super::ast::Node;

/// The most texts of one pattern.
const MAX_TEXTS: usize = 48;
/// The longest text that is looked for.
const MAX_LENGTH: usize = 24;
/// Shorter texts occur in each line.
const MIN_LENGTH: usize = 3;

/// The most sets of texts of one pattern.
const MAX_SETS: usize = 4;

/// Texts that a pattern needs: each match contains at least one text of each set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Required {
    /// The best set first. None if there are none worth looking for.
    pub(crate) sets: Vec<Vec<Vec<u8>>>,
    /// The texts are in lower case, and match in any case.
    pub(crate) folded: bool,
}

/// The texts that a pattern needs.
///
/// The date is cut out of a line before patterns are applied, typically from between brackets. So no text
/// reaches over a pair of brackets that may have been around a date.
pub(crate) fn required(node: &Node) -> Required {
    let exact = required_as(node, false);
    if !exact.is_empty() {
        return Required { sets: exact, folded: false };
    }
    let sets = required_as(node, true);
    Required { folded: !sets.is_empty(), sets }
}

fn required_as(node: &Node, fold: bool) -> Vec<Vec<Vec<u8>>> {
    let mut flat = Vec::new();
    flatten(node, &mut flat);
    let mut sets = sets_of_sequence(&flat, fold);
    sets.retain(|texts| texts.iter().all(|text| text.len() >= MIN_LENGTH));
    sets.sort_by_key(|texts| std::cmp::Reverse(worth(texts)));
    sets.dedup();
    sets.truncate(MAX_SETS);
    sets
}

fn best(node: &Node, fold: bool) -> Option<Vec<Vec<u8>>> {
    match node {
        Node::Concat(_) => {
            let mut flat = Vec::new();
            flatten(node, &mut flat);
            sets_of_sequence(&flat, fold).into_iter().max_by_key(|texts| worth(texts))
        }
        Node::Set(set) => set.single(fold).map(|byte| vec![vec![byte]]),
        Node::Alternatives(nodes) => {
            let mut all = Vec::new();
            for node in nodes {
                all.extend(best(node, fold)?);
            }
            all.sort();
            all.dedup();
            (all.len() <= MAX_TEXTS).then_some(all)
        }
        Node::If(_, yes, no) => {
            let mut all = best(yes, fold)?;
            all.extend(best(no, fold)?);
            (all.len() <= MAX_TEXTS).then_some(all)
        }
        Node::Repeat(repeat) if repeat.min > 0 => best(&repeat.node, fold),
        Node::Group(_, node) | Node::Atomic(node) => best(node, fold),
        _ => None,
    }
}

/// Groups around sequences hide neighbours from each other.
fn flatten<'a>(node: &'a Node, out: &mut Vec<&'a Node>) {
    match node {
        Node::Concat(nodes) => nodes.iter().for_each(|node| flatten(node, out)),
        Node::Group(_, inner) => flatten(inner, out),
        _ => out.push(node),
    }
}

fn sets_of_sequence(nodes: &[&Node], fold: bool) -> Vec<Vec<Vec<u8>>> {
    let mut sets = Vec::new();
    let mut run: Vec<u8> = Vec::new();
    for node in nodes {
        if let Node::Set(set) = node
            && let Some(byte) = set.single(fold)
        {
            if run.last().is_some_and(|last| may_enclose_date(*last, byte))
                || run.len() == MAX_LENGTH
            {
                sets.push(vec![std::mem::take(&mut run)]);
            }
            run.push(byte);
            continue;
        }
        if matches!(node, Node::Assert(_) | Node::Look(..) | Node::Empty) {
            continue;
        }
        if !run.is_empty() {
            sets.extend(with_beginnings(&run, node, fold));
            sets.push(vec![std::mem::take(&mut run)]);
        }
        sets.extend(best(node, fold));
    }
    if !run.is_empty() {
        sets.push(vec![run]);
    }
    sets
}

/// A text followed by what each alternative after it begins with.
fn with_beginnings(run: &[u8], node: &Node, fold: bool) -> Option<Vec<Vec<u8>>> {
    let mut node = node;
    while let Node::Group(_, inner) = node {
        node = inner;
    }
    let Node::Alternatives(nodes) = node else { return None };
    let mut texts = Vec::new();
    for node in nodes {
        let mut flat = Vec::new();
        flatten(node, &mut flat);
        let bytes = flat.iter().map_while(|node| match node {
            Node::Set(set) => set.single(fold),
            _ => None,
        });
        let mut text = run.to_vec();
        for byte in bytes.take(MAX_LENGTH) {
            if text.last().is_some_and(|last| may_enclose_date(*last, byte)) {
                break;
            }
            text.push(byte);
        }
        let start = text.len().saturating_sub(MAX_LENGTH);
        texts.push(text.get(start..).unwrap_or_default().to_vec());
    }
    texts.sort();
    texts.dedup();
    (texts.len() <= MAX_TEXTS).then_some(texts)
}

fn may_enclose_date(before: u8, after: u8) -> bool {
    let opens = matches!(before, b'[' | b'(' | b'<' | b'{' | b'"' | b'\'' | b'=' | b':' | b' ');
    opens && !after.is_ascii_alphanumeric()
}

/// How much a look for these texts is worth. From some length on all are rare enough; then alternatives
/// are better than one text, which tends to be the name of a field that is in many lines.
fn worth(texts: &[Vec<u8>]) -> usize {
    let letters = |text: &Vec<u8>| {
        text.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() * 2 + text.len()
    };
    let shortest = texts.iter().map(letters).min().unwrap_or(0);
    shortest.min(24) * 2 + usize::from(texts.len() > 1)
}
