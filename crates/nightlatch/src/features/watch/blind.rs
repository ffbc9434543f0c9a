//! What fails without a line in any log, by the configurations of telephone servers.

use nightlatch_core::features::watch::{Blind, Blindness};

/// Where the parts of configurations are installed that other servers include.
const SNIPPETS: &str = "/usr/share/nightlatch/snippets";

/// The texts of the configurations, by path; only of those that exist.
pub(super) struct Texts<'a> {
    pub(super) asterisk_iax: Option<&'a str>,
    pub(super) asterisk_logger: Option<&'a str>,
    pub(super) asterisk_ari: Option<&'a str>,
    pub(super) asterisk_http: Option<&'a str>,
    /// Each profile, with its path.
    pub(super) freeswitch: &'a [(String, String)],
    /// With its path.
    pub(super) kamailio: Option<(&'a str, &'a str)>,
    /// With its path.
    pub(super) opensips: Option<(&'a str, &'a str)>,
}

/// All of it.
pub(super) fn find(texts: &Texts<'_>) -> Vec<Blind> {
    let mut found = Vec::new();
    let mut add = |what, file: &str, fix: &str| {
        found.push(Blind { what, file: file.to_owned(), fix: fix.to_owned() });
    };
    if texts.asterisk_iax.is_some_and(|text| !is_on(text, "authdebug")) {
        add(Blindness::IaxLogins, "/etc/asterisk/iax.conf", "authdebug = yes");
    }
    if texts.asterisk_logger.is_some_and(|text| !writes_security(text)) {
        let fix = "security.json => [json]security,notice,warning";
        add(Blindness::AsteriskSecurity, "/etc/asterisk/logger.conf", fix);
    }
    let has_http = texts.asterisk_http.is_some_and(|text| is_on(text, "enabled"));
    if has_http && texts.asterisk_ari.is_some_and(|text| is_on(text, "enabled")) {
        // Its failed logins are in no log at all.
        add(Blindness::AriLogins, "/etc/asterisk/http.conf", "bindaddr = 127.0.0.1");
    }
    for (path, text) in texts.freeswitch {
        if !has_parameter(text, "log-auth-failures", "true") {
            let fix = "<param name=\"log-auth-failures\" value=\"true\"/>";
            add(Blindness::FreeswitchLogins, path, fix);
        }
    }
    let servers = [
        (Blindness::KamailioLogins, texts.kamailio, "kamailio.cfg"),
        (Blindness::OpensipsLogins, texts.opensips, "opensips.cfg"),
    ];
    for (what, config, snippet) in servers {
        let Some((path, text)) = config else { continue };
        let text = without_comments(text);
        if !text.contains("nightlatch: src=") && !text.contains(&format!("snippets/{snippet}")) {
            add(what, path, &format!("include_file \"{SNIPPETS}/{snippet}\""));
        }
    }
    found
}

/// Whether a key of a configuration of Asterisk is on, where it stands last.
fn is_on(text: &str, key: &str) -> bool {
    let is_on = |value: &str| matches!(value, "yes" | "true" | "on" | "1" | "y");
    let lines = text.lines().map(|line| line.split(';').next().unwrap_or_default());
    let mut last = false;
    for (name, value) in lines.filter_map(|line| line.split_once('=')) {
        if name.trim() == key {
            last = is_on(&value.trim_start_matches('>').trim().to_ascii_lowercase());
        }
    }
    last
}

/// Whether a log of Asterisk has the security events.
fn writes_security(text: &str) -> bool {
    let lines = text.lines().map(|line| line.split(';').next().unwrap_or_default());
    let mut levels =
        lines.filter_map(|line| line.split_once('=').map(|(name, it)| (name.trim(), it)));
    levels.any(|(name, levels)| {
        name != "console" && (levels.contains("security") || levels.contains('*'))
    })
}

/// Whether a profile of FreeSWITCH has a parameter of this value, outside of comments.
fn has_parameter(text: &str, name: &str, value: &str) -> bool {
    let mut rest = text;
    let mut shown = String::new();
    while let Some((before, after)) = rest.split_once("<!--") {
        shown.push_str(before);
        rest = after.split_once("-->").map_or("", |(_, after)| after);
    }
    shown.push_str(rest);
    let (name, value) = (format!("name=\"{name}\""), format!("value=\"{value}\""));
    shown.split('<').any(|element| element.contains(&name) && element.contains(&value))
}

/// A configuration of Kamailio or OpenSIPS without its comments that take a whole line.
fn without_comments(text: &str) -> String {
    let is_comment = |line: &&str| {
        let line = line.trim_start();
        line.starts_with('#') && !line.starts_with("#!") || line.starts_with("//")
    };
    text.lines().filter(|line| !is_comment(line)).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Texts<'_> = Texts {
        asterisk_iax: None,
        asterisk_logger: None,
        asterisk_ari: None,
        asterisk_http: None,
        freeswitch: &[],
        kamailio: None,
        opensips: None,
    };

    fn check(texts: &Texts<'_>, expected: &[Blindness]) {
        let found: Vec<Blindness> = find(texts).iter().map(|blind| blind.what).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_not_installed_is_not_blind() {
        check(&NOTHING, &[]);
    }

    #[test]
    fn iax_and_security_of_asterisk() {
        let iax = |text| Texts { asterisk_iax: Some(text), ..NOTHING };
        check(&iax("[general]\n;authdebug=yes\n"), &[Blindness::IaxLogins]);
        check(&iax("[general]\nauthdebug=no\nauthdebug = yes ; for nightlatch\n"), &[]);
        let logger = |text| Texts { asterisk_logger: Some(text), ..NOTHING };
        check(
            &logger("messages => notice,warning\nconsole => security\n"),
            &[Blindness::AsteriskSecurity],
        );
        check(&logger("security => security\n"), &[]);
        check(&logger("full => *\n"), &[]);
    }

    #[test]
    fn ari_is_blind_where_it_can_be_reached() {
        let on = "[general]\nenabled = yes\n";
        let texts = |http, ari| Texts { asterisk_http: http, asterisk_ari: ari, ..NOTHING };
        check(&texts(Some(on), Some(on)), &[Blindness::AriLogins]);
        check(&texts(None, Some(on)), &[]);
        check(&texts(Some(on), Some("[general]\nenabled=no\n")), &[]);
    }

    #[test]
    fn freeswitch_and_kamailio() {
        let profile =
            |text: &str| vec![("/etc/freeswitch/internal.xml".to_owned(), text.to_owned())];
        let hidden = profile("<!-- <param name=\"log-auth-failures\" value=\"true\"/> -->");
        check(&Texts { freeswitch: &hidden, ..NOTHING }, &[Blindness::FreeswitchLogins]);
        let off = profile("<param name=\"log-auth-failures\" value=\"false\"/>");
        check(&Texts { freeswitch: &off, ..NOTHING }, &[Blindness::FreeswitchLogins]);
        let on = profile("<param name=\"log-auth-failures\" value=\"true\"/>");
        check(&Texts { freeswitch: &on, ..NOTHING }, &[]);
        let kamailio =
            |text| Texts { kamailio: Some(("/etc/kamailio/kamailio.cfg", text)), ..NOTHING };
        check(
            &kamailio("# include_file \"snippets/kamailio.cfg\"\nroute {}\n"),
            &[Blindness::KamailioLogins],
        );
        check(&kamailio("include_file \"/usr/share/nightlatch/snippets/kamailio.cfg\"\n"), &[]);
        let opensips =
            |text| Texts { opensips: Some(("/etc/opensips/opensips.cfg", text)), ..NOTHING };
        let blind = opensips("include_file \"/usr/share/nightlatch/snippets/kamailio.cfg\"\n");
        check(&blind, &[Blindness::OpensipsLogins]);
        let fix = find(&blind).pop().unwrap().fix;
        assert_eq!(fix, "include_file \"/usr/share/nightlatch/snippets/opensips.cfg\"");
        check(&opensips(&fix), &[]);
    }
}
