//! Why a filter cannot be used.

/// Why a filter cannot be used: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// The reference is not of the form `NAME[option=value, ...]`.
    #[error(
        "cannot read the filter reference {reference:?}: {what}; write e.g. \"sshd[mode=aggressive]\""
    )]
    Reference {
        /// The reference, shortened.
        reference: String,
        /// What is wrong with it.
        what: String,
    },
    /// There is no such file, or it cannot be read.
    #[error(
        "cannot read {file}; check the name of the filter, or install the package that has it (e.g. fail2ban)"
    )]
    Missing {
        /// Its path.
        file: String,
    },
    /// The file is not written as such files are.
    #[error("{file}, line {line}: {what}; correct that line, or test the file with fail2ban-regex")]
    Syntax {
        /// Its path.
        file: String,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A file, or all together, are larger than is read.
    #[error("{file}: {what}; use a filter with fewer or smaller files")]
    TooLarge {
        /// Its path.
        file: String,
        /// Which bound it exceeds.
        what: String,
    },
    /// An option cannot be used.
    #[error(
        "{file}: the option {option}: {what}; correct it, in a file of the same name ending in .local"
    )]
    Option {
        /// The path of the filter.
        file: String,
        /// The option's name, with the number of the expression where it has several.
        option: String,
        /// What is wrong.
        what: String,
    },
}
