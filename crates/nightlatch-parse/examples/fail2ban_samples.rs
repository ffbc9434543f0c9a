//! fail2ban's own filters against fail2ban's own annotated sample logs, which are not part of this project.
//!
//! Give the folder of fail2ban's source in `FAIL2BAN_SOURCE`, then run
//! `cargo run --release -p nightlatch-parse --example fail2ban_samples`. With `FAIL2BAN_ONLY=sshd`, only that
//! filter is checked. It fails unless 99 % of the checks pass, no host is wrong, and no line matches that must
//! not.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that is run by hand"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nightlatch_parse::fail2ban::{Filter, Kind, Match, Reference, Source};
use nightlatch_parse::log::Stamp;
use serde_json::{Map, Value};

type Object = Map<String, Value>;

/// One set of options under which lines are checked.
struct Setting {
    filter: Filter,
    options: Object,
}

#[derive(Default)]
struct Tally {
    filters: usize,
    checks: usize,
    passed: usize,
    must_not: usize,
    wrongly_matched: usize,
    hosts: usize,
    wrong_hosts: usize,
    times: usize,
    doubtful: usize,
    expressions: usize,
    linear: usize,
    failures: Vec<String>,
}

struct Samples {
    source: PathBuf,
    name: String,
    common: Object,
    settings: BTreeMap<String, Setting>,
    current: Vec<String>,
    tally: Tally,
}

fn main() {
    let source =
        PathBuf::from(std::env::var("FAIL2BAN_SOURCE").expect("FAIL2BAN_SOURCE names a folder"));
    let only = std::env::var("FAIL2BAN_ONLY").ok();
    let mut total = Tally::default();
    let tests = source.join("fail2ban/tests/config");
    for base in [source.join("config"), tests.clone()] {
        for path in sorted(&base.join("filter.d")) {
            let Some(name) = path
                .file_name()
                .and_then(|name| name.to_str())
                .and_then(|name| name.strip_suffix(".conf"))
            else {
                continue;
            };
            let wanted =
                if base == tests { name.starts_with("zzz-") } else { !name.ends_with("common") };
            if !wanted || only.as_ref().is_some_and(|only| only != name) {
                continue;
            }
            let mut samples = Samples {
                source: source.clone(),
                name: name.to_owned(),
                common: Object::new(),
                settings: BTreeMap::new(),
                current: Vec::new(),
                tally: Tally::default(),
            };
            samples.run(&base);
            total.add(samples.finish());
        }
    }
    for failure in &total.failures {
        println!("{failure}\n");
    }
    println!(
        "{} filters, {} expressions of which {} linear; {} of {} checks passed; {} lines must not match, {} did; \
         {} hosts, {} wrong; {} times; {} lines were doubtful",
        total.filters,
        total.expressions,
        total.linear,
        total.passed,
        total.checks,
        total.must_not,
        total.wrongly_matched,
        total.hosts,
        total.wrong_hosts,
        total.times,
        total.doubtful
    );
    assert!(total.filters > 0 && total.checks > 0, "no samples found");
    assert_eq!(total.wrongly_matched, 0);
    assert_eq!(total.wrong_hosts, 0);
    assert!(total.passed * 100 >= total.checks * 99);
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("the folder").map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.filters += 1;
        self.checks += other.checks;
        self.passed += other.passed;
        self.must_not += other.must_not;
        self.wrongly_matched += other.wrongly_matched;
        self.hosts += other.hosts;
        self.wrong_hosts += other.wrong_hosts;
        self.times += other.times;
        self.doubtful += other.doubtful;
        self.expressions += other.expressions;
        self.linear += other.linear;
        self.failures.extend(other.failures);
    }
}

impl Samples {
    fn run(&mut self, base: &Path) {
        let mut files = vec![self.name.clone()];
        let mut next = 0;
        while let Some(file) = files.get(next).cloned() {
            next += 1;
            let path = self.source.join("fail2ban/tests/files/logs").join(&file);
            let bytes =
                std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            self.file(base, &file, &bytes, &mut files);
        }
    }

    fn file(&mut self, base: &Path, file: &str, bytes: &[u8], files: &mut Vec<String>) {
        let mut lines = bytes.split(|byte| *byte == b'\n').enumerate();
        let mut ignored = false;
        while let Some((number, line)) = lines.next() {
            let text = String::from_utf8_lossy(line);
            let mut wanted = Object::new();
            let mut line = line;
            if let Some((key, value)) = annotation(&text) {
                match (key, value) {
                    ("addFILE", Value::String(name)) => files.push(name),
                    ("fileOptions", Value::Object(options)) => self.common = options,
                    ("filterOptions", value) => ignored = self.choose(base, value),
                    ("failJSON", Value::Object(object)) => {
                        wanted = object;
                        line = lines.next().expect("a line after its annotation").1;
                        if !ignored {
                            self.check(base, file, number + 2, line, &wanted);
                        }
                    }
                    (key, value) => panic!("{file}:{}: {key} {value}", number + 1),
                }
                continue;
            }
            if ignored || text.starts_with('#') || text.trim().is_empty() {
                continue;
            }
            self.check(base, file, number + 1, line, &wanted);
        }
    }

    /// Sets the options for the lines that follow, and says whether these are to be ignored.
    fn choose(&mut self, base: &Path, value: Value) -> bool {
        self.current.clear();
        let all = match value {
            Value::Array(all) => all,
            one => vec![one],
        };
        let mut ignored = false;
        for one in all {
            let mut options = self.common.clone();
            options.extend(one.as_object().expect("options").clone());
            if let Some(condition) = options.get("test.condition").and_then(Value::as_str) {
                ignored = !self.holds(condition, &options);
            }
            if !ignored {
                let key = self.load(base, &options);
                self.current.push(key);
            }
        }
        ignored
    }

    fn holds(&self, condition: &str, options: &Object) -> bool {
        let mode = options.get("mode").and_then(Value::as_str).unwrap_or("");
        match condition.replace(' ', "").as_str() {
            "name=='sshd'" => self.name == "sshd",
            "opts.get('mode')!='aggressive'" => mode != "aggressive",
            "opts.get('mode')=='aggressive'" => mode == "aggressive",
            other => panic!("unknown condition {other}"),
        }
    }

    fn load(&mut self, base: &Path, options: &Object) -> String {
        let given: Vec<(&String, &str)> = options
            .iter()
            .filter(|(name, _)| !name.starts_with("test."))
            .map(|(name, value)| (name, value.as_str().expect("text")))
            .collect();
        let options_text: Vec<String> =
            given.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let path = base.join("filter.d").join(format!("{}.conf", self.name));
        let text = format!("{}[{}]", path.display(), options_text.join(", "));
        let journal = options.get("logtype").and_then(Value::as_str) == Some("journal");
        let name = options.get("test.filter-name").and_then(Value::as_str);
        let key = format!(
            "{}{}",
            name.unwrap_or(&text),
            options.get("test.prefix-line").unwrap_or(&Value::Null)
        );
        if !self.settings.contains_key(&key) {
            let reference = Reference::parse(&text).expect("a reference");
            let source = if journal { Source::Journal } else { Source::File };
            let mut files = |path: &str| std::fs::read_to_string(path).ok();
            let filter = Filter::load(&reference, source, &mut files)
                .unwrap_or_else(|error| panic!("{error}"));
            self.settings.insert(key.clone(), Setting { filter, options: options.clone() });
        }
        key
    }

    fn check(&mut self, base: &Path, file: &str, number: usize, line: &[u8], wanted: &Object) {
        if self.current.is_empty() {
            let key = self.load(base, &Object::new());
            self.current.push(key);
        }
        for key in self.current.clone() {
            let options = self.settings[&key].options.clone();
            let constraint = wanted.get("constraint").and_then(Value::as_str);
            if constraint.is_some_and(|constraint| !self.holds(constraint, &options)) {
                continue;
            }
            let prefix = options.get("test.prefix-line").and_then(Value::as_str).unwrap_or("");
            let line = [prefix.as_bytes(), line.strip_suffix(b"\r").unwrap_or(line)].concat();
            let setting = self.settings.get_mut(&key).unwrap();
            let found = setting.filter.read(&line, 0).filter(|found| found.kind == Kind::Failure);
            let fault = self.compare(found.as_ref(), wanted, &options);
            self.tally.checks += 1;
            match fault {
                None => self.tally.passed += 1,
                Some(fault) => self.tally.failures.push(format!(
                    "{}: {file}:{number}: {fault}\n  {}\n  {wanted:?}\n  {found:?}",
                    self.name,
                    String::from_utf8_lossy(&line)
                )),
            }
        }
    }

    fn compare(
        &mut self,
        found: Option<&Match>,
        wanted: &Object,
        options: &Object,
    ) -> Option<String> {
        let should = wanted.get("match").and_then(Value::as_bool).unwrap_or(false);
        if !should {
            self.tally.must_not += 1;
        }
        let Some(found) = found else { return should.then(|| "not matched".to_owned()) };
        if found.another.is_some() {
            self.tally.doubtful += 1;
            println!("{} doubtful: {found:?}", self.name);
        }
        if !should {
            self.tally.wrongly_matched += 1;
            return Some("matched wrongly".to_owned());
        }
        if let Some(host) = wanted.get("host").and_then(Value::as_str) {
            self.tally.hosts += 1;
            let address = found.address.map(|address| address.to_string());
            let text = found.host.as_deref().map(|host| String::from_utf8_lossy(host).into_owned());
            if address.as_deref() != Some(host) && text.as_deref() != Some(host) {
                self.tally.wrong_hosts += usize::from(address.is_some());
                return Some("wrong host".to_owned());
            }
            if address.is_none() && host.parse::<std::net::IpAddr>().is_ok() {
                return Some("address not accepted".to_owned());
            }
        }
        if let Some(user) = wanted.get("user").and_then(Value::as_str) {
            let mine = found.user.as_deref().map(|user| String::from_utf8_lossy(user).into_owned());
            if mine.as_deref() != Some(user) {
                return Some("wrong user".to_owned());
            }
        }
        let attempts = wanted.get("attempts").and_then(Value::as_u64);
        if attempts.is_some_and(|attempts| u64::from(found.failures) != attempts) {
            return Some("wrong number of attempts".to_owned());
        }
        let journal = options.get("logtype").and_then(Value::as_str) == Some("journal");
        match wanted.get("time").and_then(Value::as_str) {
            Some(time) if !journal => {
                self.tally.times += 1;
                (found.stamp.map(moment) != Some(annotated(time))).then(|| "wrong time".to_owned())
            }
            _ => None,
        }
    }

    fn finish(mut self) -> Tally {
        for setting in self.settings.values() {
            let (all, linear) = setting.filter.expressions();
            self.tally.expressions += all;
            self.tally.linear += linear;
            assert_eq!(setting.filter.gave_up(), 0, "{} gave up", self.name);
        }
        self.tally
    }
}

/// `# failJSON: {...}` and its like.
fn annotation(line: &str) -> Option<(&'static str, Value)> {
    let rest = line.strip_prefix('#')?.trim_start_matches('#');
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    ["failJSON", "fileOptions", "filterOptions", "addFILE"].into_iter().find_map(|key| {
        let value = rest.strip_prefix(key)?.strip_prefix(':')?.trim();
        (!value.is_empty()).then(|| (key, serde_json::from_str(value).expect("valid JSON")))
    })
}

/// Seconds since 1970 of the annotation, which is in the time of Zurich.
fn annotated(text: &str) -> i64 {
    let numbers: Vec<i64> =
        text.split(['-', 'T', ':', '.']).map(|number| number.parse().unwrap()).collect();
    let days = days(numbers[0], numbers[1], numbers[2]);
    in_zurich(days * 86_400 + numbers[3] * 3600 + numbers[4] * 60 + numbers[5])
}

/// Seconds since 1970 of a stamp, read on the 14th of August 2005 in Zurich, as fail2ban's tests pretend.
fn moment(stamp: Stamp) -> i64 {
    let seconds = |year: i64| {
        let days = days(year, stamp.month.into(), stamp.day.into());
        let local = days * 86_400
            + i64::from(stamp.hour) * 3600
            + i64::from(stamp.minute) * 60
            + i64::from(stamp.second);
        stamp.offset.map_or_else(|| in_zurich(local), |offset| local - i64::from(offset))
    };
    let now = 1_124_013_600;
    match stamp.year {
        Some(year) => seconds(year.into()),
        None if seconds(2005) > now + 86_400 => seconds(2004),
        None => seconds(2005),
    }
}

fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn in_zurich(local: i64) -> i64 {
    let day = local.div_euclid(86_400);
    let year = 1970 + (day * 400).div_euclid(146_097);
    // The last Sundays of March and October; the 1st of January 1970 was a Thursday.
    let last_sunday = |month| {
        let last = days(year, month, 31);
        last - (last + 4).rem_euclid(7)
    };
    let summer =
        (last_sunday(3) * 86_400 + 7200..last_sunday(10) * 86_400 + 10_800).contains(&local);
    local - if summer { 7200 } else { 3600 }
}
