//! The thin binary.

fn main() -> std::process::ExitCode {
    nightlatch::cli::main()
}
