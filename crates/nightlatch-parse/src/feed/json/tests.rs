use super::super::Format;
use super::*;

fn read(format: &str, text: &str, block: usize) -> Vec<String> {
    let Format::Json(paths) = format.parse().unwrap() else {
        panic!("not JSON");
    };
    let mut json = Json::new(paths);
    let mut seen = Vec::new();
    let mut each = |item: Item<'_>| {
        seen.push(match item {
            Item::Entry(range) => range.to_string(),
            Item::Refused(line, text) => {
                format!("refused {line} {}", String::from_utf8_lossy(text))
            }
        });
        Ok(())
    };
    let mut result = Ok(());
    for part in text.as_bytes().chunks(block) {
        result = result.and_then(|()| json.push(part, &mut each));
    }
    let result = result.and_then(|()| json.finish(&mut each));
    if let Err(error) = result {
        seen.push(error.to_string());
    }
    seen
}

fn check(format: &str, text: &str, expected: &[&str]) {
    for block in 1..=text.len().max(1) {
        assert_eq!(read(format, text, block), expected, "{format} {text}");
    }
}

#[test]
fn paths() {
    let aws = r#"{"syncToken":"1","prefixes":[{"ip_prefix":"192.0.2.0/24","region":"x"},
        {"ip_prefix":"198.51.100.0\/24"}],"ipv6_prefixes":[{"ipv6_prefix":"2001:db8::/48"}]}"#;
    check("json:prefixes[].ip_prefix", aws, &["192.0.2.0/24", "198.51.100.0/24"]);
    check(
        "json:prefixes[].ip_prefix,ipv6_prefixes[].ipv6_prefix",
        aws,
        &["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/48"],
    );
    check("json:*[].ip_prefix", aws, &["192.0.2.0/24", "198.51.100.0/24"]);
    check("json", aws, &["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/48"]);
    check("json:prefixes", aws, &["refused 1 ["]);
    check("json:prefixes[]", aws, &["refused 1 {", "refused 2 {"]);
    check("json:nothing[].x", aws, &[]);
    check(
        "json:[]",
        r#"["192.0.2.1", "x", 7, null, true]"#,
        &["192.0.2.1", "refused 1 x", "refused 1 7", "refused 1 true"],
    );
    check("json:[][]", r#"[["192.0.2.1"],["192.0.2.2"],"192.0.2.3"]"#, &["192.0.2.1", "192.0.2.2"]);
    check(
        "json:a.b",
        r#"{"a":{"b":"192.0.2.1","c":{"b":"192.0.2.2"}},"b":"192.0.2.3"}"#,
        &["192.0.2.1"],
    );
    check("json:a", r#"{"\u0061":"192\u002e0.2.1"}"#, &["192.0.2.1"]);
}

#[test]
fn well_known_keys() {
    let spamhaus = "{\"cidr\":\"192.0.2.0/24\",\"sblid\":\"SBL1\",\"rir\":\"apnic\"}\n\
        {\"type\":\"metadata\",\"timestamp\":1700000000,\"size\":98,\"records\":1}\n";
    check("json", spamhaus, &["192.0.2.0/24"]);
    check(
        "json",
        r#"{"ipaddress":["192.0.2.1","192.0.2.2"],"ID":"77"}"#,
        &["192.0.2.1", "192.0.2.2"],
    );
    check("json", r#"{"ipaddress":["no new bans"],"ID":"none"}"#, &[]);
    check("json", r#"["192.0.2.1","2001:db8::1"]"#, &["192.0.2.1", "2001:db8::1"]);
    check("json", r#"[{"ip":"192.0.2.1","last":"198.51.100.1"}]"#, &["192.0.2.1"]);
    check("json", r#"{"client":"198.51.100.1"}"#, &[]);
}

#[test]
fn what_is_no_json() {
    let wrong = |line: u64, what: &str| format!("invalid or truncated JSON: {what} (line {line})");
    for (text, line, what) in [
        ("[", 1, "unexpected end"),
        ("[\"a", 1, "unexpected end"),
        ("{\"a\":1\n", 2, "unexpected end"),
        ("{\"a\" 1}", 1, "unexpected character"),
        ("[1,]", 1, "unexpected character"),
        ("{\"a\":1,}", 1, "unexpected character"),
        ("[1}", 1, "unexpected character"),
        ("]", 1, "unexpected character"),
        ("[1 2]", 1, "unexpected character"),
        ("[\"\\x\"]", 1, "unknown escape in a string"),
        ("[\"\\u00g0\"]", 1, "\\u without four hexadecimal digits"),
        ("[trux]", 1, "a word other than a number, true, false or null"),
        (&"[".repeat(65), 1, "it is nested too deep"),
    ] {
        assert_eq!(read("json:b", text, 1), [wrong(line, what)], "{text}");
    }
    check("json:a", &format!("{}{}", "[".repeat(64), "]".repeat(64)), &[]);
}
