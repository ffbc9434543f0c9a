//! Commands and what they print, one below the other.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::compare::compare;
use super::normal::normal;
use super::server::Server;

/// What was typed and printed so far.
pub(super) struct Transcript<'a> {
    name: &'static str,
    nightlatch: &'a Server<'a>,
    text: String,
    /// What stands for texts that differ from one run to the next: the folder, ports.
    words: Vec<(String, String)>,
    /// What every command gets in its environment.
    environment: Vec<(String, String)>,
}

impl<'a> Transcript<'a> {
    /// A transcript that is compared with `expected/NAME.txt`.
    pub(super) fn new(name: &'static str, nightlatch: &'a Server<'a>) -> Transcript<'a> {
        let folder = nightlatch.directory().to_str().unwrap().to_owned();
        let version = |begin: &str, end: &str| {
            let text = |version: &str| format!("{begin}{version}{end}");
            (text(env!("CARGO_PKG_VERSION")), text("VERSION"))
        };
        let folder = (folder, "DIR".to_owned());
        let words = vec![folder, version("\"version\":\"", "\""), version("nightlatch ", "\n")];
        // The system's own messages are not translated.
        let environment = vec![("LC_ALL".to_owned(), "C".to_owned())];
        Transcript { name, nightlatch, text: String::new(), words, environment }
    }

    /// Runs all that follows with this in its environment.
    pub(super) fn with(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Writes `word` in place of `text` from now on.
    pub(super) fn call(&mut self, text: &str, word: &str) {
        self.words.push((text.to_owned(), word.to_owned()));
    }

    /// What follows is about this.
    pub(super) fn about(&mut self, what: &str) {
        self.text += &format!("\n# {what}\n\n");
    }

    /// Runs `nightlatch` with these arguments. Texts with blanks stand in double quotes, and `DIR` for
    /// the folder of the installation.
    pub(super) fn run(&mut self, line: &str) -> Output {
        self.run_with(line, |_| {})
    }

    /// The same for each of these lines.
    pub(super) fn all(&mut self, lines: &[&str]) {
        for line in lines {
            self.run(line);
        }
    }

    /// As text and as JSON.
    pub(super) fn both(&mut self, line: &str) {
        self.run(line);
        self.run(&format!("{line} --json"));
    }

    /// Runs it in an SSH session from an address.
    pub(super) fn from(&mut self, origin: &str, line: &str) -> Output {
        self.text += &format!("(from {origin}) ");
        let session = format!("{origin} 40000 198.51.100.1 22");
        self.run_with(line, |command| {
            command.env("SSH_CONNECTION", session);
        })
    }

    /// Runs it with a change to how it is started.
    pub(super) fn run_with(&mut self, line: &str, change: impl FnOnce(&mut Command)) -> Output {
        let mut command = self.nightlatch.command(&self.words_of(line));
        command.envs(self.environment.iter().cloned());
        change(&mut command);
        let output = command.output().unwrap();
        self.add(&format!("nightlatch {line}"), &output);
        output
    }

    /// Runs it by another name.
    pub(super) fn called(&mut self, name: &str, line: &str) {
        let output =
            self.nightlatch.program(&self.link(name), &self.words_of(line)).output().unwrap();
        self.add(&format!("{name} {line}"), &output);
    }

    /// Runs it by a name at a terminal, where standard output and standard error are one, and types.
    pub(super) fn typed(&mut self, name: &str, line: &str, typed: &str) {
        let output = at_terminal(self.nightlatch, &self.link(name), line, typed);
        self.text += "(at a terminal) ";
        self.add(&format!("{name} {line}"), &output);
    }

    /// Adds what a command printed.
    pub(super) fn add(&mut self, line: &str, output: &Output) {
        let mut whole = format!("$ {}\n", self.words_in(line.trim_end()));
        whole += &match output.status.code() {
            Some(code) => format!("= {code}\n"),
            None => format!("= {}\n", output.status),
        };
        whole += &self.printed(&output.stdout, "");
        whole += &self.printed(&output.stderr, "! ");
        self.text += &whole;
    }

    fn printed(&self, bytes: &[u8], mark: &str) -> String {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        let text = visible(&normal(&self.words_in(&text)));
        let lines = text.split_inclusive('\n').map(|line| format!("{mark}{line}"));
        let mut lines: String = lines.collect();
        if !lines.is_empty() && !lines.ends_with('\n') {
            lines += "(no end of line)\n";
        }
        lines
    }

    fn words_in(&self, text: &str) -> String {
        let replace =
            |text: String, (written, word): &(String, String)| text.replace(written, word);
        self.words.iter().fold(text.to_owned(), replace)
    }

    /// Compares it with its file.
    pub(super) fn finish(self) {
        compare(self.name, self.text.trim_start_matches('\n'));
    }

    /// The words of a line, with texts in double quotes; `DIR` is the folder of the installation.
    fn words_of(&self, line: &str) -> Vec<String> {
        let line = line.replace("DIR", self.nightlatch.directory().to_str().unwrap());
        let mut words = Vec::new();
        for (number, part) in line.split('"').enumerate() {
            if number % 2 == 1 {
                words.push(part.to_owned());
            } else {
                words.extend(part.split_whitespace().map(ToOwned::to_owned));
            }
        }
        words
    }

    /// The program by another name.
    fn link(&self, name: &str) -> String {
        let link = self.nightlatch.directory().join(name);
        let _ = std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_nightlatch"), &link);
        link.to_str().unwrap().to_owned()
    }
}

/// Runs a program at a terminal that does not repeat what is typed.
pub(super) fn at_terminal(
    nightlatch: &Server<'_>,
    program: &str,
    line: &str,
    typed: &str,
) -> Output {
    let line = format!("{program} {line}");
    let arguments = ["-qe", "-E", "never", "-c", line.as_str(), "/dev/null"];
    let mut command = nightlatch.program("script", &arguments);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let mut output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.stdout = text.replace("\r\n", "\n").into_bytes();
    output
}

/// Text with its control characters and its marks of direction written out.
fn visible(text: &str) -> String {
    let is_hidden = |c: char| c.is_control() && c != '\n' || ('\u{200b}'..='\u{206f}').contains(&c);
    let show = |c: char| if is_hidden(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(show).collect()
}
