//! Text without which a pattern cannot match: the first look at a line.

use super::ast::Node;

/// The most texts of one pattern.
const MAX_TEXTS: usize = 48;
/// The longest text that is looked for.
const MAX_LENGTH: usize = 24;
/// Shorter texts occur in each line.
const MIN_LENGTH: usize = 3;

/// Texts in lower case of which each match contains at least one, regardless of case; `None` if there are
/// none worth looking for.
///
/// The date is cut out of a line before patterns are applied, typically from between brackets. So no text
/// reaches over a pair of brackets that may have been around a date.
pub(crate) fn required(node: &Node) -> Option<Vec<Vec<u8>>> {
    let found = best(node)?;
    (found.iter().map(Vec::len).min()? >= MIN_LENGTH).then_some(found)
}

fn best(node: &Node) -> Option<Vec<Vec<u8>>> {
    match node {
        Node::Concat(_) => {
            let mut flat = Vec::new();
            flatten(node, &mut flat);
            best_of_sequence(&flat)
        }
        Node::Set(set) => set.single().map(|byte| vec![vec![byte]]),
        Node::Alternatives(nodes) => {
            let mut all = Vec::new();
            for node in nodes {
                all.extend(best(node)?);
            }
            all.sort();
            all.dedup();
            (all.len() <= MAX_TEXTS).then_some(all)
        }
        Node::If(_, yes, no) => {
            let mut all = best(yes)?;
            all.extend(best(no)?);
            (all.len() <= MAX_TEXTS).then_some(all)
        }
        Node::Repeat(repeat) if repeat.min > 0 => best(&repeat.node),
        Node::Group(_, node) | Node::Atomic(node) => best(node),
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

fn best_of_sequence(nodes: &[&Node]) -> Option<Vec<Vec<u8>>> {
    let mut best_yet: Option<Vec<Vec<u8>>> = None;
    let mut consider = |texts: Vec<Vec<u8>>| {
        if best_yet.as_ref().is_none_or(|other| worth(&texts) > worth(other)) {
            best_yet = Some(texts);
        }
    };
    let mut run: Vec<u8> = Vec::new();
    for node in nodes {
        if let Node::Set(set) = node
            && let Some(byte) = set.single()
        {
            if run.last().is_some_and(|last| may_enclose_date(*last, byte))
                || run.len() == MAX_LENGTH
            {
                consider(vec![std::mem::take(&mut run)]);
            }
            run.push(byte);
            continue;
        }
        if matches!(node, Node::Assert(_) | Node::Look(..) | Node::Empty) {
            continue;
        }
        if !run.is_empty() {
            consider(vec![std::mem::take(&mut run)]);
        }
        if let Some(texts) = best(node) {
            consider(texts);
        }
    }
    if !run.is_empty() {
        consider(vec![run]);
    }
    best_yet
}

fn may_enclose_date(before: u8, after: u8) -> bool {
    let opens = matches!(before, b'[' | b'(' | b'<' | b'{' | b'"' | b'\'' | b'=' | b':' | b' ');
    opens && !after.is_ascii_alphanumeric()
}

/// How much a look for these texts is worth: the shortest counts, and few are better than many.
fn worth(texts: &[Vec<u8>]) -> usize {
    let letters = |text: &Vec<u8>| {
        text.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() * 2 + text.len()
    };
    let shortest = texts.iter().map(letters).min().unwrap_or(0);
    let few = usize::from(texts.len() == 1);
    shortest.min(40) * 4 + few * 2
}
