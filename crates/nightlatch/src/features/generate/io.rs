//! Writes the files.

use std::path::Path;

use crate::features::commands::manual_of;

/// One page for the program, one for each command, and one for each command within a command.
pub(super) fn manual(tree: &clap::Command, folder: &Path) -> std::io::Result<()> {
    let page = |command: clap::Command, name: &str| {
        let manual = clap_mangen::Man::new(command).title(name.to_uppercase()).section("8");
        let mut text = Vec::new();
        manual.render(&mut text)?;
        std::fs::write(folder.join(format!("{name}.8")), text)
    };
    page(tree.clone(), "nightlatch")?;
    for command in tree.get_subcommands().filter(|command| !command.is_hide_set()) {
        // The page of a command is called as it is typed.
        let name = format!("nightlatch-{}", command.get_name());
        let manual = manual_of(command.get_name()).unwrap_or_default();
        page(renamed(command, &name).long_about(manual), &name)?;
        for part in command.get_subcommands() {
            let name = format!("{name}-{}", part.get_name());
            page(renamed(part, &name), &name)?;
        }
    }
    Ok(())
}

/// Completions for the shells that Debian ships.
pub(super) fn completions(mut tree: clap::Command, folder: &Path) -> std::io::Result<()> {
    use clap_complete::Shell;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut tree, "nightlatch", folder)?;
    }
    Ok(())
}

fn renamed(command: &clap::Command, name: &str) -> clap::Command {
    // clap takes names that live for ever; the program ends right after this.
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    command.clone().name(name)
}
