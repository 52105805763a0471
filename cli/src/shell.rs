//! Completion for shells, and manual pages.

use std::path::Path;

use clap::CommandFactory as _;
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

/// A page and its file name.
fn page(command: clap::Command) -> Result<(String, Vec<u8>), Failure> {
    let page = clap_mangen::Man::new(command);
    let mut text = Vec::new();
    let rendered = page.render(&mut text);
    rendered.map_err(|cause| Failure::File { file: page.get_filename(), cause })?;
    Ok((page.get_filename(), text))
}
