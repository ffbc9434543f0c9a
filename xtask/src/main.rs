//! Tasks for developers: `cargo run -p xtask -- tidy`.
#![forbid(unsafe_code)]

mod tidy;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments != ["tidy"] {
        eprintln!("usage: cargo run -p xtask -- tidy    (the rules no compiler knows)");
        return ExitCode::from(2);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match tidy::run(root) {
        Ok(tidy::Report { files, findings }) if findings.is_empty() => {
            println!("tidy: {files} files, nothing to say");
            ExitCode::SUCCESS
        }
        Ok(tidy::Report { files, findings }) => {
            for finding in &findings {
                println!("{finding}");
            }
            println!("tidy: {files} files, {} findings", findings.len());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("tidy: the files cannot be read: {error}");
            ExitCode::from(2)
        }
    }
}
