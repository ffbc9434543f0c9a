//! A tree written in the syntax of the crate `regex`.

use std::fmt::Write as _;

use super::ast::{Assert, Node, Set};

/// Writes a tree. Only groups in `keep` capture; what an automaton cannot do is left out or widened, so
/// that the result matches wherever the tree does.
pub(crate) fn widened(node: &Node, keep: &[usize]) -> String {
    let mut out = String::new();
    write_node(node, keep, &mut out);
    out
}

fn write_node(node: &Node, keep: &[usize], out: &mut String) {
    match node {
        Node::Empty | Node::Look(..) => {}
        Node::Set(set) => write_set(set, out),
        Node::Concat(nodes) => nodes.iter().for_each(|node| write_node(node, keep, out)),
        Node::Alternatives(nodes) => {
            out.push_str("(?:");
            for (i, node) in nodes.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { "|" });
                write_node(node, keep, out);
            }
            out.push(')');
        }
        Node::Repeat(repeat) => {
            out.push_str("(?:");
            write_node(&repeat.node, keep, out);
            out.push(')');
            // Writing to a string cannot fail.
            let _ = match (repeat.min, repeat.max) {
                (0, None) => write!(out, "*"),
                (1, None) => write!(out, "+"),
                (0, Some(1)) => write!(out, "?"),
                (min, None) => write!(out, "{{{min},}}"),
                (min, Some(max)) => write!(out, "{{{min},{max}}}"),
            };
            if !repeat.greedy {
                out.push('?');
            }
        }
        Node::Group(number, node) => {
            out.push_str(if keep.contains(number) { "(" } else { "(?:" });
            write_node(node, keep, out);
            out.push(')');
        }
        Node::Atomic(node) => {
            out.push_str("(?:");
            write_node(node, keep, out);
            out.push(')');
        }
        Node::Assert(assert) => out.push_str(match assert {
            Assert::Start => r"\A",
            Assert::LineStart => "(?m:^)",
            Assert::LineEnd => "(?m:$)",
            Assert::End => r"\z",
            Assert::WordBoundary => r"\b",
            Assert::NoWordBoundary => r"\B",
        }),
        Node::Same(..) => out.push_str("(?s:.*)"),
        Node::If(_, yes, no) => {
            out.push_str("(?:");
            write_node(yes, keep, out);
            out.push('|');
            write_node(no, keep, out);
            out.push(')');
        }
    }
}

fn write_set(set: &Set, out: &mut String) {
    out.push('[');
    let mut bytes = set.bytes().peekable();
    let mut any = false;
    while let Some(from) = bytes.next() {
        let mut to = from;
        while bytes.next_if(|next| Some(*next) == to.checked_add(1)).is_some() {
            to += 1;
        }
        let _ = write!(out, r"\x{from:02X}-\x{to:02X}");
        any = true;
    }
    // A class that matches nothing.
    out.push_str(if any { "]" } else { r"[^\x00-\xFF]]" });
}
