//! References to filters: `sshd[mode=aggressive]`.

use super::FilterError;

/// The longest reference, in bytes.
const MAX_REFERENCE: usize = 2_048;

/// A reference to a filter, with the options that it sets.
///
/// ```
/// use nightlatch_parse::fail2ban::Reference;
/// let reference = Reference::parse("sshd[mode=aggressive, port=22]").unwrap();
/// assert_eq!(reference.path(), "/etc/fail2ban/filter.d/sshd.conf");
/// assert_eq!(reference.options()[0], ("mode".to_owned(), "aggressive".to_owned()));
/// let reference = Reference::parse("/srv/filters/own.conf").unwrap();
/// assert_eq!(reference.path(), "/srv/filters/own.conf");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    path: String,
    options: Vec<(String, String)>,
}

impl Reference {
    /// Reads `NAME`, `NAME[option=value, ...]` or the same with an absolute path instead of the name. A name
    /// is that of a file in `/etc/fail2ban/filter.d`, without its ending.
    ///
    /// # Errors
    /// [`FilterError::Reference`] if it is written in another way.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let error = |what: &str| FilterError::Reference {
            reference: text.chars().take(80).collect(),
            what: what.to_owned(),
        };
        if text.len() > MAX_REFERENCE {
            return Err(error("it is too long"));
        }
        let text = text.trim();
        let (name, options) = match text.split_once('[') {
            None => (text, None),
            Some((name, rest)) => (
                name.trim_end(),
                Some(rest.strip_suffix(']').ok_or_else(|| error("it has no closing bracket"))?),
            ),
        };
        let path = path_of(name).map_err(error)?;
        let options = options.map_or(Ok(Vec::new()), read_options).map_err(error)?;
        Ok(Self { path, options })
    }

    /// The path of the filter's file.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The options with their values, in the order written.
    pub fn options(&self) -> &[(String, String)] {
        &self.options
    }
}

fn path_of(name: &str) -> Result<String, &'static str> {
    if name.starts_with('/') {
        if name.split('/').any(|part| part == "..") || name.contains('\0') {
            return Err("its path contains \"..\" or a NUL byte");
        }
        return Ok(name.to_owned());
    }
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.starts_with('.') || !name.chars().all(good) {
        return Err(
            "its name must be an absolute path, or consist of letters, digits, hyphens, dots and underscores",
        );
    }
    Ok(format!("/etc/fail2ban/filter.d/{}.conf", name.strip_suffix(".conf").unwrap_or(name)))
}

/// Reads `a=1, b="2, 3"][c='4'`.
fn read_options(mut text: &str) -> Result<Vec<(String, String)>, &'static str> {
    let mut options: Vec<(String, String)> = Vec::new();
    loop {
        text = text.trim_start();
        if text.is_empty() {
            return Ok(options);
        }
        let (name, rest) = text.split_once('=').ok_or("an option has no value")?;
        let name = name.trim();
        // A conditional option, e.g. `name?family=inet6=value`, has no meaning in a filter.
        let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || !name.chars().all(good) {
            return Err(
                "the name of an option may contain only letters, digits, hyphens, dots and underscores",
            );
        }
        let (value, rest) = read_value(rest)?;
        let name = name.to_lowercase();
        options.retain(|(other, _)| *other != name);
        options.push((name, value.to_owned()));
        text = rest;
    }
}

/// A value, and what follows its comma or bracket.
fn read_value(text: &str) -> Result<(&str, &str), &'static str> {
    for quote in ['"', '\''] {
        let Some(rest) = text.strip_prefix(quote) else { continue };
        let (value, rest) = rest.split_once(quote).ok_or("unterminated quote")?;
        let rest = rest.trim_start();
        return if let Some(rest) = rest.strip_prefix(',') {
            Ok((value.trim(), rest))
        } else if let Some(rest) = rest.strip_prefix(']') {
            Ok((
                value.trim(),
                rest.trim_start().strip_prefix('[').ok_or("text follows a closing bracket")?,
            ))
        } else if rest.is_empty() {
            Ok((value.trim(), rest))
        } else {
            Err("text follows a quote")
        };
    }
    let end = text.find([',', ']']).unwrap_or(text.len());
    let (value, rest) = text.split_at(end);
    let rest = match rest.strip_prefix(',') {
        Some(rest) => rest,
        None if rest.is_empty() => rest,
        None => rest
            .get(1..)
            .unwrap_or("")
            .trim_start()
            .strip_prefix('[')
            .ok_or("text follows a closing bracket")?,
    };
    Ok((value.trim(), rest))
}

#[cfg(test)]
mod tests {
    use super::Reference;

    #[track_caller]
    fn options(text: &str) -> Vec<(String, String)> {
        Reference::parse(text).unwrap().options().to_vec()
    }

    #[test]
    fn options_are_read_with_and_without_quotes() {
        let two = vec![
            ("mode".to_owned(), "aggressive".to_owned()),
            ("port".to_owned(), "22,23".to_owned()),
        ];
        assert_eq!(options("sshd[mode=aggressive, port=\"22,23\"]"), two);
        assert_eq!(options("sshd[mode='aggressive'][port='22,23']"), two);
        assert_eq!(options("sshd[mode=normal, mode=aggressive, port='22,23', ]"), two);
        assert_eq!(options("sshd[]"), vec![]);
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        for text in [
            "",
            "[mode=x]",
            "sshd[mode",
            "sshd[mode]",
            "../sshd",
            ".sshd",
            "a b",
            "/etc/../x",
            "sshd[a=\"1\"b=2]",
            "sshd[a=1]b",
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}
