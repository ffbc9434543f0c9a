//! fail2ban's own tags in expressions, such as `<HOST>` and `<F-USER>`, replaced by groups.

use std::collections::BTreeSet;

const IP4: &str = r"(?:::f{4,6}:)?(?P<ip4>(?:\d{1,3}\.){3}\d{1,3})";
// Each of the first parts ends with a colon, so that the last may be a colon alone.
const IP6: &str = r"(?P<ip6>(?:[0-9a-fA-F]{1,4}::?|:){1,7}(?:[0-9a-fA-F]{1,4}|:))";
const DNS: &str = r"(?P<dns>[\w\-.^_]*\w)";
const CIDR: &str = r"(?P<cidr>\d+)";

/// Replaces the tags of an expression. `only_addresses`: `<HOST>` matches no names.
pub(super) fn replace_tags(text: &str, only_addresses: bool) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut open: BTreeSet<String> = BTreeSet::new();
    let mut skips = 0usize;
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let tag = tag_at(after);
        let new = tag.and_then(|tag| replacement(tag, only_addresses, &mut open, &mut skips));
        let length = if new.is_some() { tag.map_or(0, str::len) + 2 } else { 1 };
        out.push_str(new.as_deref().unwrap_or("<"));
        rest = after.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// What is between `<` and `>`, if it has the form of a tag.
fn tag_at(text: &str) -> Option<&str> {
    let inside = text.get(1..text.find('>')?)?;
    let name = inside.strip_prefix('/').unwrap_or(inside);
    let name = name.strip_suffix('/').unwrap_or(name);
    let good =
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-');
    good.then_some(inside)
}

fn replacement(
    tag: &str,
    only_addresses: bool,
    open: &mut BTreeSet<String>,
    skips: &mut usize,
) -> Option<String> {
    let address = || format!(r"\[?(?:{IP4}|{IP6})\]?");
    Some(match tag {
        "HOST" if only_addresses => address(),
        "HOST" => format!("(?:{}|{DNS})", address()),
        "ADDR" | "F-ADDR/" => address(),
        "IP4" | "F-IP4/" => IP4.to_owned(),
        "IP6" | "F-IP6/" => IP6.to_owned(),
        "DNS" | "F-DNS/" => DNS.to_owned(),
        "CIDR" | "F-CIDR/" => CIDR.to_owned(),
        "SUBNET" | "F-SUBNET/" => format!(r"\[?(?:{IP4}|{IP6})(?:/{CIDR})?\]?"),
        "F-ID/" => r"(?P<fid>\S+)".to_owned(),
        "F-PORT/" => r"(?P<fport>\w+)".to_owned(),
        "SKIPLINES" => {
            *skips += 1;
            format!(r"\n(?P<skiplines{}>(?:(?:.*\n)*?))", *skips - 1)
        }
        _ => return own_group(tag, open),
    })
}

/// `<F-NAME>` begins a group, `</F-NAME>` ends it.
fn own_group(tag: &str, open: &mut BTreeSet<String>) -> Option<String> {
    let (closes, name) = match tag.strip_prefix("/F-") {
        Some(name) => (true, name),
        None => (false, tag.strip_prefix("F-")?),
    };
    let good = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(good) {
        return None;
    }
    if closes {
        return open.contains(name).then(|| ")".to_owned());
    }
    open.insert(name.to_owned());
    let group = match name {
        "ID" => "fid".to_owned(),
        "PORT" => "fport".to_owned(),
        _ => name.to_lowercase(),
    };
    Some(format!("(?P<{group}>"))
}

#[cfg(test)]
mod tests {
    use super::replace_tags;

    #[test]
    fn tags_become_groups() {
        assert_eq!(
            replace_tags("a <F-USER>\\S+</F-USER> <F-X/> </F-Z>", false),
            "a (?P<user>\\S+) <F-X/> </F-Z>"
        );
        assert_eq!(replace_tags("(?P<x>a<b)<IP4>", false), format!("(?P<x>a<b){}", super::IP4));
        assert!(!replace_tags("<HOST>", true).contains("dns"));
        assert!(replace_tags("<HOST>", false).contains("dns"));
    }
}
