//! Writes the files.

use std::path::Path;

use crate::features::commands::{manual_of, manuals_without_command};

/// One page for the program, one for each command, one for each command within a command, and one for
/// each feature without commands.
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
    for (feature, manual) in manuals_without_command() {
        let name = format!("nightlatch-{feature}");
        let about = summary(&manual);
        let page =
            renamed(&clap::Command::new("nightlatch"), &name).about(about).long_about(manual);
        let page = clap_mangen::Man::new(page).title(name.to_uppercase()).section("8");
        let mut text = Vec::new();
        page.render_title(&mut text)?;
        page.render_name_section(&mut text)?;
        page.render_description_section(&mut text)?;
        std::fs::write(folder.join(format!("{name}.8")), text)?;
    }
    Ok(())
}

/// What the first paragraph says behind its title.
fn summary(manual: &str) -> String {
    let paragraph: Vec<&str> = manual.lines().take_while(|line| !line.is_empty()).collect();
    let paragraph = paragraph.join(" ");
    let summary = paragraph.split_once(": ").map_or(&*paragraph, |(_, summary)| summary);
    summary.trim_end_matches('.').to_owned()
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
