//! Filters of fail2ban, and lines through them.

use nightlatch_parse::fail2ban::{Filter, Kind, Reference, Source};

use super::check_shown;

/// A filter's file, then after a line of `---` a log.
pub fn fail2ban_filter(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (filter, log) = text.split_once("\n---\n").unwrap_or((text, ""));
    let (name, filter) = filter.split_once('\n').unwrap_or(("", filter));
    let reference = Reference::parse(name).unwrap_or_else(|error| {
        check_shown(&error.to_string());
        Reference::parse("fuzz").unwrap()
    });
    let mut reads = 0;
    let mut files = |path: &str| {
        reads += 1;
        (!path.contains("local") || reads % 3 == 0).then(|| filter.to_owned())
    };
    match Filter::load(&reference, Source::File, &mut files) {
        Ok(mut filter) => read_lines(&mut filter, log.as_bytes()),
        Err(error) => assert!(error.to_string().contains(';'), "says what to do: {error}"),
    }
    assert!(reads <= 64, "{reads} files were read");
}

/// Lines through a filter that has all that filters have.
pub fn fail2ban_lines(data: &[u8]) {
    let text = "[Definition]\n\
        prefregex = ^\\s*(?:\\S+ )?<F-MLFID>\\w+\\[\\d+\\]: </F-MLFID><F-CONTENT>.+</F-CONTENT>$\n\
        failregex = ^refused (?P<odd>odd )?<F-USER>(?(odd).*?|[^']*)</F-USER> from <HOST>(?: port \\d+)?$\n\
         \x20^<F-NOFAIL>hello</F-NOFAIL> <ADDR>$\n\
         \x20^bye (?:(?!from).)* from <HOST>\\b\n\
         \x20^too many$\n\
        ignoreregex = monitor\n";
    let reference = Reference::parse("fuzz").unwrap();
    let mut files = |path: &str| (!path.contains("local")).then(|| text.to_owned());
    let mut filter = Filter::load(&reference, Source::File, &mut files).unwrap();
    read_lines(&mut filter, data);
}

fn read_lines(filter: &mut Filter, log: &[u8]) {
    for (now, line) in log.split(|byte| *byte == b'\n').take(64).enumerate() {
        let Some(found) = filter.read(line, now as u64) else {
            continue;
        };
        assert!(found.user.is_none_or(|user| user.len() <= 256));
        assert!(found.users.len() <= 8);
        let given = found.address.is_none() || found.host.is_some();
        assert!(given && (found.another.is_none() || found.another != found.address));
        assert!(found.kind != Kind::Waiting || found.address.is_none());
    }
}
