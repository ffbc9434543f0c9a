//! The thin binary of the demo.

fn main() -> std::process::ExitCode {
    nightlatch_lab::cli::main()
}
