//! Completion for shells, and manual pages.

use std::path::Path;

use clap::CommandFactory as _;
use clap::builder::Resettable;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::{Output, system};

/// A script that completes the command's arguments.
pub fn completions(shell: Shell) -> Output {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "gatepass", &mut script);
    Output::good(String::from_utf8_lossy(&script))
}

/// The manual page, or one for each command into a directory.
pub fn manual(directory: Option<&Path>) -> Result<Output, Failure> {
    let mut command = Arguments::command();
    command.build();
    let Some(directory) = directory else {
        let page = page(command)?;
        return Ok(Output::good(String::from_utf8_lossy(&page.1)));
    };
    system::make_directory(directory)?;
    let below = command.get_subcommands().filter(|below| below.get_name() != "help").cloned();
    let commands: Vec<_> = below.collect();
    for command in std::iter::once(command).chain(commands) {
        let (name, page) = page(command)?;
        system::write(&directory.join(name), &page)?;
    }
    Ok(Output::good(""))
}

/// A page and its file name. What the help has after the options becomes sections of its own.
fn page(command: clap::Command) -> Result<(String, Vec<u8>), Failure> {
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let page = clap_mangen::Man::new(command.after_help(Resettable::Reset));
    let mut text = Vec::new();
    let rendered = page.render(&mut text);
    rendered.map_err(|cause| Failure::File { file: page.get_filename(), cause })?;
    text.extend_from_slice(sections(&after).as_bytes());
    Ok((page.get_filename(), text))
}

/// Paragraphs as sections of a page: a first line that ends with a colon is the heading of
/// the others, whose lines stay as they are.
fn sections(after: &str) -> String {
    let mut page = String::new();
    for paragraph in after.split("\n\n") {
        let (heading, lines) = match paragraph.split_once(":\n") {
            Some((heading, lines)) if !heading.contains('\n') => (heading.to_uppercase(), lines),
            _ => ("NOTES".to_owned(), paragraph),
        };
        page += &format!(".SH \"{heading}\"\n.nf\n");
        for line in lines.lines() {
            // The first character of a line may make it a request; none of these is one.
            let line = line.trim_start().replace('\\', "\\e").replace('-', "\\-");
            page += &format!("\\&{}\n", line.replace('\'', "\\(aq"));
        }
        page += ".fi\n";
    }
    page
}
