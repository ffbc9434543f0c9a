//! Features: each stands apart, and is named in its own folders and the registers alone.

use super::code::{Code, Named, is_test, is_word};
use super::{File, Finding};

/// Where the folders of features are in the program.
const PROGRAM: &str = "crates/nightlatch/src/";
/// Where they are in the core.
const CORE: &str = "crates/nightlatch-core/src/";

/// Where features are registered.
const REGISTERS: [&str; 5] = [
    "crates/nightlatch-core/src/features/mod.rs",
    "crates/nightlatch-core/src/features/register.rs",
    "crates/nightlatch-core/src/lib.rs",
    "crates/nightlatch/src/features/mod.rs",
    "crates/nightlatch/src/features/commands.rs",
];

/// The enums of the register with a variant for each feature.
const ENVELOPES: [&str; 10] =
    ["Request", "Reply", "Refusal", "Notice", "Event", "Job", "Change", "Deed", "Id", "By"];

/// What asks several features at once, with the reason.
const SEVERAL: [(&str, &str); 1] = [(
    "crates/nightlatch/src/features/up/",
    "`up` asks for the firewall and the first accounts together, and says what all features would do",
)];

/// The features of the program and of the core.
#[derive(Debug)]
pub(super) struct Features<'a> {
    program: Vec<&'a str>,
    core: Vec<&'a str>,
}

impl<'a> Features<'a> {
    pub(super) fn of(files: &'a [File]) -> Features<'a> {
        Features { program: folders(files, PROGRAM), core: folders(files, CORE) }
    }

    /// Both rules about what a file names.
    pub(super) fn check(&self, file: &File, findings: &mut Vec<Finding>) {
        self.apart(file, findings);
        self.in_their_places(file, findings);
    }

    fn apart(&self, file: &File, findings: &mut Vec<Finding>) {
        let Some(place) =
            file.path.strip_prefix(PROGRAM).and_then(|it| it.strip_prefix("features/"))
        else {
            return;
        };
        let Some((own, _)) = place.split_once('/') else {
            return;
        };
        for Named { line, path } in Code::of(&file.text).paths(&["crate", "nightlatch", "super"]) {
            let absolute = absolute_path(place, &path);
            let mut segments = absolute.iter().map(String::as_str);
            let is_feature = segments.next() == Some("features");
            let Some(other) = segments.next().filter(|other| is_feature && *other != own) else {
                continue;
            };
            // What features/mod.rs itself defines is for all of them.
            if !self.program.contains(&other) {
                continue;
            }
            findings.push(Finding {
                path: file.path.clone(),
                line,
                what: format!("`{own}` names the feature `{other}`"),
                why: "features do not import each other: each can be read, and removed, alone",
                remedy: "move what both need into shell/ or nightlatch-core",
            });
        }
    }

    /// A feature of the core is named in its own two folders, and in the registers.
    fn in_their_places(&self, file: &File, findings: &mut Vec<Finding>) {
        let is_free = REGISTERS.contains(&file.path.as_str())
            || SEVERAL.iter().any(|(place, _)| file.path.starts_with(place))
            || is_test(&file.path);
        let place = file.path.strip_prefix(CORE).or_else(|| file.path.strip_prefix(PROGRAM));
        let Some(place) = place.filter(|_| !is_free) else { return };
        let own = place.strip_prefix("features/").and_then(|place| place.split('/').next());
        let code = Code::of(&file.text);
        for name in self.core.iter().filter(|name| Some(**name) != own) {
            let mut lines = Self::lines_that_name(name, place, &code);
            lines.extend(lines_with_variant(&camel(name), &code));
            lines.sort_unstable();
            lines.dedup();
            findings.extend(lines.into_iter().map(|line| Finding {
                path: file.path.clone(),
                line,
                what: format!("names the feature `{name}`"),
                why: "a feature is one folder in the core, one in the program, and one line in each register",
                remedy: "let the feature itself do it: by a claim, a fact, a report, its wording",
            }));
        }
    }

    fn lines_that_name(name: &str, place: &str, code: &Code) -> Vec<usize> {
        let below = place.strip_prefix("features/");
        let names_it = |named: &Named| {
            let absolute = match below {
                Some(below) => absolute_path(below, &named.path),
                None => named.path.split("::").map(str::to_owned).collect(),
            };
            let mut segments = absolute.iter().map(String::as_str);
            segments.any(|segment| segment == "features") && segments.next() == Some(name)
        };
        let paths = code.paths(&["crate", "super", "nightlatch_core", "nightlatch"]);
        paths.iter().filter(|named| names_it(named)).map(|named| named.line).collect()
    }

    /// Every folder of a feature has a `mod.rs` that begins by saying what it is.
    pub(super) fn pages(&self, files: &[File], findings: &mut Vec<Finding>) {
        for feature in &self.program {
            let path = format!("{PROGRAM}features/{feature}/mod.rs");
            let page = files.iter().find(|file| file.path == path);
            if page.is_some_and(|page| page.text.starts_with("//! ")) {
                continue;
            }
            findings.push(Finding {
                path,
                line: 1,
                what: "no doc comment at the top".to_owned(),
                why: "a feature's doc comment becomes its section of the manual",
                remedy: "begin mod.rs with `//!` lines for an administrator",
            });
        }
    }
}

/// The folders below `features/` of a crate.
fn folders<'a>(files: &'a [File], root: &str) -> Vec<&'a str> {
    let below = |file: &'a File| file.path.strip_prefix(root)?.strip_prefix("features/");
    let mut features: Vec<&str> =
        files.iter().filter_map(|file| Some(below(file)?.split_once('/')?.0)).collect();
    features.dedup();
    features
}

/// The lines that name a variant of an enum of the register, such as `By::Accounts`.
fn lines_with_variant(variant: &str, code: &Code) -> Vec<usize> {
    let is_named = |text: &str| {
        ENVELOPES.iter().any(|envelope| {
            let named = format!("{envelope}::{variant}");
            let mut after = text.match_indices(&named).map(|(at, _)| text.get(at + named.len()..));
            after.any(|rest| !rest.unwrap_or_default().starts_with(is_word))
        })
    };
    code.lines().filter(|(_, text)| is_named(text)).map(|(line, _)| line).collect()
}

/// `two_words` as `TwoWords`.
fn camel(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    name.split('_').map(word).collect()
}

/// The path without `crate`, `nightlatch` and `super`, for a file at `place` below `features/`.
fn absolute_path(place: &str, path: &str) -> Vec<String> {
    let module = place.trim_end_matches(".rs").trim_end_matches("/mod");
    let mut absolute: Vec<String> = vec!["features".to_owned()];
    absolute.extend(module.split('/').map(str::to_owned));
    for segment in path.split("::") {
        match segment {
            "crate" | "nightlatch" => absolute.clear(),
            "super" => {
                absolute.pop();
            }
            _ => absolute.push(segment.to_owned()),
        }
    }
    absolute
}
