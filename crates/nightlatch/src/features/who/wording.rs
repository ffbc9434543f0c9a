//! What is known of an address, in lines.

use nightlatch_core::api::Why;

use super::io::Reverse;
use crate::features;
use crate::features::about::{About, Claim};
use crate::features::fields::Fields;
use crate::shell::paths::Paths;
use crate::shell::screen;

/// What is shown.
pub(super) struct Page {
    pub(super) fields: Fields,
    pub(super) lines: Vec<String>,
    /// Whether any record or list contains the address.
    pub(super) is_known: bool,
}

/// All that is known.
pub(super) fn page(why: &Why, reverse: Option<&Reverse>, paths: &Paths) -> Page {
    let mut page = About::new(why.address, why.now);
    why.about.iter().for_each(|reply| features::about(reply, &mut page));
    let is_known = !page.lines.is_empty() || !page.claims.is_empty();
    features::looked_up(paths, &mut page);
    page.lines.sort_by_key(|(number, _)| *number);
    let mut lines = vec![format!("address   {}", why.address)];
    lines.extend(reverse.map(names));
    lines.extend(page.lines.iter().map(|(_, line)| line.clone()));
    // Blocks have a line of their own already.
    let others = page.claims.iter().filter_map(|(claim, words)| match claim {
        Claim::Deny(_) => Some(("denied", words)),
        Claim::List => Some(("list", words)),
        Claim::Allow(_) | Claim::AllowOnly | Claim::Block(_) | Claim::Ban(_) => None,
    });
    lines.extend(others.map(|(what, words)| format!("{what:<10}{}", screen::printable(words))));
    if why.is_spared_by_lists && page.claims.iter().any(|(claim, _)| *claim == Claim::List) {
        lines.push(
            "          no list applies to it, because it is allowed or this server needs it"
                .to_owned(),
        );
    }
    if !is_known {
        lines.push("No account, provider, block or list contains it.".to_owned());
    }
    page.fields.set(10, "address", &why.address);
    if let Some(reverse) = reverse {
        page.fields.set(20, "reverse", reverse);
    }
    let lists = std::mem::take(&mut page.lists);
    page.fields.set(90, "lists", &lists);
    Page { fields: page.fields, lines, is_known }
}

/// The reverse names, and how much they are worth.
fn names(reverse: &Reverse) -> String {
    if let Some(failure) = &reverse.failure {
        return format!("reverse   unknown ({})", screen::printable(failure));
    }
    if reverse.names.is_empty() {
        return "reverse   no name".to_owned();
    }
    let name = |it: &super::io::ReverseName| {
        let back = match it.leads_back {
            Some(true) => "leads back",
            Some(false) => "leads elsewhere",
            None => "not confirmed in time",
        };
        format!("{} ({back})", screen::printable(&it.name))
    };
    let names: Vec<String> = reverse.names.iter().map(name).collect();
    format!("reverse   {}, as set by its owner, which proves nothing", names.join(", "))
}
