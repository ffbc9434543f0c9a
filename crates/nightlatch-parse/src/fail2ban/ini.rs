//! The files of filters: sections with options, as Python's `configparser` reads them.

use std::collections::BTreeMap;

use super::FilterError;

/// Options of one section by name, in lower case.
pub(super) type Section = BTreeMap<String, String>;

/// One file.
#[derive(Clone, Debug, Default)]
pub(super) struct File {
    /// The section `[DEFAULT]`.
    pub(super) defaults: Section,
    /// The other sections in the order of the file.
    pub(super) sections: Vec<(String, Section)>,
}

impl File {
    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|(other, _)| other == name).map(|(_, section)| section)
    }
}

/// The option that is being read: its name, and the lines of its value so far.
struct Open {
    name: String,
    lines: Vec<String>,
    indent: usize,
}

struct Reader<'a> {
    path: &'a str,
    file: File,
    section: Option<String>,
    open: Option<Open>,
}

/// Reads one file.
pub(super) fn read(path: &str, text: &str) -> Result<File, FilterError> {
    let mut reader = Reader { path, file: File::default(), section: None, open: None };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in text.lines().enumerate() {
        reader.line(line).map_err(|what| FilterError::Syntax {
            file: reader.path.to_owned(),
            line: number + 1,
            what: what.to_owned(),
        })?;
    }
    reader.close();
    Ok(reader.file)
}

impl Reader<'_> {
    fn line(&mut self, line: &str) -> Result<(), &'static str> {
        let (value, commented) = without_comment(line);
        let value = value.trim();
        if value.is_empty() {
            if let Some(open) = self.open.as_mut().filter(|_| !commented) {
                open.lines.push(String::new());
            }
            return Ok(());
        }
        let indent = line.len() - line.trim_start().len();
        if let Some(open) = self.open.as_mut().filter(|open| indent > open.indent) {
            open.lines.push(value.to_owned());
            return Ok(());
        }
        self.close();
        let header = value.strip_prefix('[').and_then(|header| header.split_once(']'));
        if let Some((name, _)) = header.filter(|(name, _)| !name.is_empty()) {
            return self.start_section(name);
        }
        if self.section.is_none() {
            return Err("text before the first [section]");
        }
        self.start_option(value, indent)
    }

    fn start_section(&mut self, name: &str) -> Result<(), &'static str> {
        self.section = Some(name.to_owned());
        if name == "DEFAULT" {
            return Ok(());
        }
        if self.file.section(name).is_some() {
            return Err("this section occurs twice");
        }
        self.file.sections.push((name.to_owned(), Section::new()));
        Ok(())
    }

    fn start_option(&mut self, text: &str, indent: usize) -> Result<(), &'static str> {
        let at = text.find(['=', ':']).ok_or("not a [section] and not an option with \"=\"")?;
        let (name, value) = text.split_at(at);
        let name = name.trim().to_lowercase();
        if name.is_empty() {
            return Err("an option without name");
        }
        if self.current().is_some_and(|section| section.contains_key(&name)) {
            return Err("this option occurs twice in its section");
        }
        let value = value.get(1..).unwrap_or_default().trim().to_owned();
        self.open = Some(Open { name, lines: vec![value], indent });
        Ok(())
    }

    fn current(&mut self) -> Option<&mut Section> {
        let name = self.section.as_ref()?;
        if name == "DEFAULT" {
            return Some(&mut self.file.defaults);
        }
        self.file.sections.iter_mut().find(|(other, _)| other == name).map(|(_, section)| section)
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        if let Some(section) = self.current() {
            section.insert(open.name, open.lines.join("\n").trim_end().to_owned());
        }
    }
}

/// A line without its comment, and whether it had one: a whole line with `#` or `;`, or the rest of one
/// after a blank and `;`.
fn without_comment(line: &str) -> (&str, bool) {
    let trimmed = line.trim_start();
    if trimmed.starts_with(['#', ';']) {
        return ("", true);
    }
    for (at, _) in line.match_indices(';') {
        let before = line.get(..at).unwrap_or_default();
        if before.is_empty() || before.ends_with(char::is_whitespace) {
            return (before, true);
        }
    }
    (line, false)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn values_go_on_over_indented_lines() {
        let file = read("x", "[A]\nb = 1\n  2 ; note\n# note\n\n  3\nC: =4\n[D]\ne=\n").unwrap();
        let a = file.section("A").unwrap();
        assert_eq!(a["b"], "1\n2\n\n3");
        assert_eq!(a["c"], "=4");
        assert_eq!(file.section("D").unwrap()["e"], "");
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line) in [("a=1", 1), ("[A]\n\nb", 3), ("[A]\nb=1\nb=2", 3), ("[A]\n[A]", 2)] {
            let error = read("/x.conf", text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("/x.conf, line {line}: ")), "{error}");
        }
    }
}
