//! A filter's files with what they include, merged, and the values of options with `%(name)s` replaced.

use std::collections::BTreeMap;

use super::FilterError;
use super::ini::{self, File, Section};

/// The most files of one filter.
const MAX_FILES: usize = 32;
/// The deepest chain of includes.
const MAX_INCLUDES: usize = 8;
/// The largest file, in bytes.
const MAX_FILE: usize = 256 * 1024;
/// The longest value with everything replaced, in bytes.
pub(super) const MAX_VALUE: usize = 256 * 1024;
/// How deep names in values may lead to others.
const MAX_DEPTH: usize = 10;

/// All files of a filter together.
#[derive(Clone, Debug, Default)]
pub(super) struct Config {
    defaults: Section,
    sections: BTreeMap<String, Section>,
    /// What options of a section were before a later file changed them.
    known: BTreeMap<String, Section>,
}

/// Reads a filter's file with its `.local` and its includes.
pub(super) fn load(
    path: &str,
    read: &mut dyn FnMut(&str) -> Option<String>,
) -> Result<Config, FilterError> {
    let mut loader = Loader { read, cache: BTreeMap::new(), order: Vec::new() };
    if loader.file(path)?.is_none() {
        return Err(FilterError::Missing { file: path.to_owned() });
    }
    loader.with_local(path, &mut Vec::new())?;
    let mut config = Config::default();
    for path in loader.order {
        if let Some(Some(file)) = loader.cache.get(&path) {
            config.merge(file);
        }
    }
    Ok(config)
}

struct Loader<'a> {
    read: &'a mut dyn FnMut(&str) -> Option<String>,
    cache: BTreeMap<String, Option<File>>,
    order: Vec<String>,
}

impl Loader<'_> {
    fn file(&mut self, path: &str) -> Result<Option<&File>, FilterError> {
        if !self.cache.contains_key(path) {
            let file = match (self.read)(path) {
                None => None,
                Some(text) if text.len() > MAX_FILE => {
                    return Err(too_large(path, format!("it has more than {MAX_FILE} bytes")));
                }
                Some(text) => Some(ini::read(path, &text)?),
            };
            if self.cache.len() >= MAX_FILES * 2 {
                return Err(too_large(path, format!("the filter has more than {MAX_FILES} files")));
            }
            self.cache.insert(path.to_owned(), file);
        }
        Ok(self.cache.get(path).and_then(Option::as_ref))
    }

    /// A file, then the one of the same name that ends in `.local`.
    fn with_local(&mut self, path: &str, seen: &mut Vec<String>) -> Result<(), FilterError> {
        self.with_includes(path, seen)?;
        let stem = match path.rsplit_once('.') {
            Some((stem, ending)) if !ending.contains('/') => stem,
            _ => path,
        };
        let local = format!("{stem}.local");
        if local == path { Ok(()) } else { self.with_includes(&local, seen) }
    }

    fn with_includes(&mut self, path: &str, seen: &mut Vec<String>) -> Result<(), FilterError> {
        let Some(file) = self.file(path)? else { return Ok(()) };
        let includes = file.section("INCLUDES").cloned().unwrap_or_default();
        if seen.len() >= MAX_INCLUDES {
            return Err(too_large(
                path,
                format!("its includes are nested more than {MAX_INCLUDES} files deep"),
            ));
        }
        seen.push(path.to_owned());
        self.included(includes.get("before"), path, seen)?;
        if self.order.len() >= MAX_FILES {
            return Err(too_large(path, format!("the filter has more than {MAX_FILES} files")));
        }
        self.order.push(path.to_owned());
        self.included(includes.get("after"), path, seen)?;
        seen.pop();
        Ok(())
    }

    fn included(
        &mut self,
        names: Option<&String>,
        path: &str,
        seen: &mut Vec<String>,
    ) -> Result<(), FilterError> {
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for name in
            names.map_or("", String::as_str).lines().map(str::trim).filter(|name| !name.is_empty())
        {
            let path = match (name.starts_with('/'), folder) {
                (true, _) | (_, "") => name.to_owned(),
                _ => format!("{folder}/{name}"),
            };
            if !seen.contains(&path) {
                self.with_local(&path, seen)?;
            }
        }
        Ok(())
    }
}

fn too_large(file: &str, what: String) -> FilterError {
    FilterError::TooLarge { file: file.to_owned(), what }
}

impl Config {
    fn merge(&mut self, file: &File) {
        self.defaults.extend(file.defaults.clone());
        for (name, section) in &file.sections {
            // Options of a section `Init?family=inet6` are kept with the condition in their names.
            let (name, condition) = match name.find('?') {
                Some(at) => name.split_at(at),
                None => (name.as_str(), ""),
            };
            let mine = self.sections.entry(name.to_owned()).or_default();
            let known = self.known.entry(name.to_owned()).or_default();
            for (option, value) in section {
                let option = format!("{option}{condition}");
                if let Some(before) = mine.insert(option.clone(), value.clone()) {
                    known.insert(option, before);
                }
            }
        }
    }

    /// The names of a section's own options.
    pub(super) fn options(&self, section: &str) -> impl Iterator<Item = &str> {
        self.sections
            .get(section)
            .into_iter()
            .flat_map(|section| section.keys().map(String::as_str))
    }

    /// The value of an option. `given` goes before what the files say. `None` where there is no such
    /// option.
    pub(super) fn get(
        &self,
        section: &str,
        option: &str,
        given: &Section,
    ) -> Option<Result<String, String>> {
        let option = option.to_lowercase();
        let raw = self.raw(section, &option, given)?;
        let mut out = String::new();
        Some(self.replace(section, raw, given, 0, &mut out).map(|()| out))
    }

    /// The same for the name in a tag, which may be `section/option` or `known/option`.
    pub(super) fn get_tag(
        &self,
        section: &str,
        tag: &str,
        given: &Section,
    ) -> Option<Result<String, String>> {
        if let Some((of, option)) = tag.split_once('/') {
            let option = option.to_lowercase();
            let nothing = Section::new();
            let value = match of.to_lowercase().as_str() {
                "known" => {
                    let known = self.known.get(section).and_then(|known| known.get(&option));
                    known.map_or_else(
                        || self.get(section, &option, &nothing),
                        |raw| {
                            let mut out = String::new();
                            Some(self.replace(section, raw, &nothing, 0, &mut out).map(|()| out))
                        },
                    )
                }
                "default" => self.get("DEFAULT", &option, &nothing),
                _ if self.sections.contains_key(of) => self.get(of, &option, &nothing),
                _ => None,
            };
            if value.is_some() {
                return value;
            }
        }
        self.get(section, tag, given)
    }

    fn raw<'a>(&'a self, section: &str, option: &str, given: &'a Section) -> Option<&'a str> {
        let own = || self.sections.get(section).and_then(|section| section.get(option));
        let value = given.get(option).or_else(own).or_else(|| self.defaults.get(option));
        value.map(String::as_str)
    }

    /// The raw value for `%(section/option)s`.
    fn raw_of_other(&self, section: &str, of: &str, option: &str) -> Option<&str> {
        let option = option.to_lowercase();
        let found = match of.to_lowercase().as_str() {
            "known" => self.known.get(section).and_then(|known| known.get(&option)),
            "default" => None,
            _ => self.sections.get(of)?.get(&option),
        };
        found.or_else(|| self.defaults.get(&option)).map(String::as_str)
    }

    fn replace(
        &self,
        section: &str,
        text: &str,
        given: &Section,
        depth: usize,
        out: &mut String,
    ) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("options in values refer to each other in a cycle".to_owned());
        }
        let mut rest = text;
        while let Some(at) = rest.find('%') {
            let (before, after) = rest.split_at(at);
            out.push_str(before);
            if let Some(after) = after.strip_prefix("%%") {
                out.push('%');
                rest = after;
            } else if let Some((name, after)) =
                after.strip_prefix("%(").and_then(|after| after.split_once(")s"))
            {
                let value =
                    if name.contains(')') { None } else { self.value_of(section, name, given) };
                let value = value.ok_or_else(|| format!("there is no option for %({name})s"))?;
                self.replace(section, value, given, depth + 1, out)?;
                rest = after;
            } else {
                return Err("a percent sign must be doubled or part of %(name)s".to_owned());
            }
            if out.len() > MAX_VALUE {
                return Err(format!("longer than {MAX_VALUE} bytes"));
            }
        }
        out.push_str(rest);
        if out.len() > MAX_VALUE { Err(format!("longer than {MAX_VALUE} bytes")) } else { Ok(()) }
    }

    fn value_of<'a>(&'a self, section: &'a str, name: &str, given: &'a Section) -> Option<&'a str> {
        if name == "__name__" {
            return Some(section);
        }
        match name.split_once('/') {
            Some((of, option)) => self.raw_of_other(section, of, option),
            None => self.raw(section, &name.to_lowercase(), given),
        }
    }
}
