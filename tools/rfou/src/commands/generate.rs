// SPDX-License-Identifier: GPL-2.0

//! `rfou man` and `rfou completions`: print manual pages and completions, which clap generates from the definitions of
//! the command line. Only rfou.toml(5) is a file of its own.

use crate::{
    cli::{Cli, CompletionsArgs, ManArgs, Shell},
    error::{Error, Kind, Result},
    output::write,
};
use clap::{Command, CommandFactory};
use clap_complete::shells;
use std::{fs, path::Path};

/// The manual page rfou.toml(5).
const FILE_FORMAT: &str = include_str!("../../man/rfou.toml.5");

pub fn completions(args: &CompletionsArgs) -> Result {
    let command = &mut Cli::command();
    let mut script = Vec::new();
    match args.shell {
        Shell::Bash => clap_complete::generate(shells::Bash, command, "rfou", &mut script),
        Shell::Zsh => clap_complete::generate(shells::Zsh, command, "rfou", &mut script),
        Shell::Fish => clap_complete::generate(shells::Fish, command, "rfou", &mut script),
    }
    write(&String::from_utf8_lossy(&script))
}

pub fn man(args: &ManArgs) -> Result {
    let pages = pages()?;
    if let Some(folder) = &args.dir {
        return write_pages(folder, &pages);
    }
    let wanted = args.page.trim_end_matches(".8").trim_end_matches(".5");
    let is_wanted = |page: &&(String, String)| {
        let name = page.0.rsplit_once('.').map_or("", |name| name.0);
        name == wanted || name.strip_prefix("rfou-") == Some(wanted)
    };
    match pages.iter().find(is_wanted) {
        Some(page) => write(&page.1),
        None => {
            let names: Vec<_> = pages.iter().map(|page| page.0.as_str()).collect();
            Err(
                Error::new(Kind::NotFound, format!("there is no page '{}'", args.page))
                    .argument("PAGE")
                    .hint(format!("the pages are {}", names.join(", "))),
            )
        }
    }
}

fn write_pages(folder: &Path, pages: &[(String, String)]) -> Result {
    let at_fault = |path: &Path, error| Error::io(path.display(), &error).argument("--dir");
    fs::create_dir_all(folder).map_err(|error| at_fault(folder, error))?;
    for (name, text) in pages {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| at_fault(&path, error))?;
    }
    Ok(())
}

/// Returns the names and texts of all pages.
fn pages() -> Result<Vec<(String, String)>> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add_pages(&command, "rfou", &mut pages)?;
    pages.push(("rfou.toml.5".into(), FILE_FORMAT.into()));
    Ok(pages)
}

fn add_pages(command: &Command, name: &str, pages: &mut Vec<(String, String)>) -> Result {
    let mut text = Vec::new();
    let page = command.clone().name(name.to_string());
    clap_mangen::Man::new(page)
        .title(name.to_uppercase())
        .section("8")
        .manual("rfou")
        .render(&mut text)
        .map_err(|error| Error::io("manual page", &error))?;
    pages.push((
        format!("{name}.8"),
        String::from_utf8_lossy(&text).into_owned(),
    ));
    for child in command.get_subcommands() {
        if !child.is_hide_set() {
            add_pages(child, &format!("{name}-{}", child.get_name()), pages)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn pages_describe_exit_statuses_options_and_the_file() {
        let pages = pages().unwrap();
        let page = |name| &pages.iter().find(|page| page.0 == name).unwrap().1;
        assert!(page("rfou.8").contains("Exit status"));
        assert!(page("rfou-port-add.8").contains("remcsum\\-nopartial"));
        assert!(page("rfou.toml.5").contains(".TH RFOU.TOML 5"));
    }
}
