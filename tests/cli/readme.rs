//! What the manual shows of the command is what it prints.

use std::collections::BTreeSet;

use gatepass::denial::Code;

use crate::support::{Desk, ISSUER_KEY, changed, configuration};

const COMMAND: &str = include_str!("../../docs/command.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
const REFERENCE: &str = include_str!("../../docs/reference.md");
const OPERATIONS: &str = include_str!("../../docs/operations.md");

fn blocks(page: &'static str, info: &str) -> Vec<&'static str> {
    let start = format!("\n```{info}\n");
    page.split(start.as_str()).skip(1).map(|rest| rest.split("\n```").next().unwrap()).collect()
}

/// Commands and what the manual says that they print.
fn session() -> Vec<(Vec<String>, String)> {
    let mut session: Vec<(Vec<String>, String)> = Vec::new();
    for line in blocks(COMMAND, "console gatepass").iter().flat_map(|block| block.lines()) {
        match line.strip_prefix("$ ") {
            Some(command) => {
                session.push((command.split(' ').map(str::to_owned).collect(), String::new()));
            }
            None => {
                let (_, output) = session.last_mut().expect("a command before its output");
                output.push_str(line);
                output.push('\n');
            }
        }
    }
    session
}

/// Without what is new each time: thumbprints, `jti`, times.
fn lasting(text: &str) -> String {
    fn shown(word: &str) -> String {
        let is_date = word.len() == 20 && word.ends_with('Z');
        let is_time = word.len() == 10 && word.bytes().all(|byte| byte.is_ascii_digit());
        let is_id = [22, 43].contains(&word.len());
        match word.split_once(':') {
            _ if is_date || is_time || is_id => "...".to_owned(),
            Some((first, rest)) => format!("{}:{}", shown(first), shown(rest)),
            None => word.to_owned(),
        }
    }
    let is_end = |character: char| !character.is_ascii_alphanumeric() && !"-_:".contains(character);
    let words = text.split_inclusive(is_end);
    words
        .map(|word| {
            let bare = word.trim_end_matches(is_end);
            shown(bare) + &word[bare.len()..]
        })
        .collect()
}

#[test]
fn the_session_in_the_manual() {
    let desk = Desk::new();
    desk.put("gatepass.yaml", blocks(CONFIGURATION, "yaml gatepass")[0]);
    let session = session();
    assert!(session.len() > 5, "{session:?}");
    for (command, expected) in session {
        let words: Vec<_> = command.iter().map(String::as_str).collect();
        match words.as_slice() {
            ["cat", file] => desk.put(file, &expected),
            ["gatepass", arguments @ .., ">", file] => {
                let run = desk.run_with(arguments, &[], "").ended(0);
                desk.put(file, &run.out);
            }
            ["gatepass", arguments @ ..] => {
                let run = desk.run_with(arguments, &[], "");
                assert_eq!(lasting(&run.out), lasting(&expected), "{command:?}: {}", run.err);
            }
            other => panic!("not a command of a session: {other:?}"),
        }
    }
}

/// The denials that the reference shows are those of its example.
#[test]
fn denials_in_the_reference() {
    let shown: Vec<_> = blocks(REFERENCE, "text");
    let shown: Vec<_> = shown.iter().filter_map(|block| block.strip_prefix("denied: ")).collect();
    let desk = Desk::new();
    desk.put("gatepass.yaml", blocks(CONFIGURATION, "yaml gatepass")[0]);
    desk.put("issuer.jwk", ISSUER_KEY);
    desk.put("issuer.jwks", &desk.run(&["jwks", "--key", "issuer.jwk"]).ended(0).out);
    let mint = ["mint", "-c", "gatepass.yaml", "--key", "issuer.jwk", "--claim", "azp=web"];
    desk.put("alice.token", &desk.run(&mint).ended(0).out);
    let with_token = ["--path", "/admin", "--token", "alice.token", "--jwks"];
    let denied = |more: &[&str]| {
        let explain = ["explain", "-c", "gatepass.yaml", "--no-env"];
        let out = desk.run(&[&explain[..], more].concat()).ended(1).out;
        out.split_once("\ndenied: ").expect("a denial").1.trim_end().to_owned()
    };
    let expected = [
        denied(&["--path", "/orders"]),
        denied(&[&with_token[..], &["issuer.jwks"]].concat()),
        denied(&[&with_token[..], &["failed"]].concat()),
    ];
    assert_eq!(shown, expected);
}

#[test]
fn every_command_is_in_the_manual() {
    let help = Desk::new().run(&["--help"]).ended(0).out;
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let commands = commands.lines().take_while(|line| !line.is_empty());
    let names: Vec<_> = commands.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 8, "{names:?}");
    for name in names.into_iter().filter(|name| *name != "help") {
        let is_named =
            [format!("`{name}`"), format!("`{name} ")].iter().any(|it| COMMAND.contains(it));
        assert!(is_named, "{name}");
    }
}

#[test]
fn there_is_help_for_every_code() {
    let (_, section) = OPERATIONS.split_once("\n## Troubleshooting\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split('|').nth(1));
    let helped: BTreeSet<_> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert_eq!(helped, Code::ALL.iter().map(|code| code.name()).collect());
}

/// The command that the page shows for completions works where there is no directory yet.
#[test]
fn completions_on_a_fresh_home() {
    let desk = Desk::new();
    let (_, command) = COMMAND.split_once("Shell completions (`").unwrap();
    let command = command.split('`').next().unwrap();
    let gatepass = std::path::Path::new(env!("CARGO_BIN_EXE_gatepass"));
    let path = format!("{}:/usr/bin:/bin", gatepass.parent().unwrap().display());
    let run = std::process::Command::new("sh")
        .args(["-euc", command])
        .env_clear()
        .envs([("HOME", desk.path("").to_str().unwrap()), ("PATH", &path)])
        .output()
        .unwrap();
    assert!(run.status.success(), "{run:?}");
    let script = desk.read(".local/share/bash-completion/completions/gatepass");
    assert!(script.contains("explain"));
}

#[test]
fn arguments_that_are_missing_are_named_together() {
    let desk = Desk::new();
    for (arguments, options) in [
        (&["mint"][..], ["--key", "--config"]),
        (&["jwks"], ["--key", "--config"]),
        (&["verify", "a.b.c"], ["--jwks", "--config"]),
        (&["verify"], ["--jwks", "<TOKEN>"]),
    ] {
        let run = desk.run(arguments).ended(2);
        assert!(options.iter().all(|option| run.err.contains(option)), "{run:?}");
    }
    let two = changed([("/providers/other", configuration()["providers"]["shop"].clone())]);
    let two = two.to_string().replacen("https://auth.shop.example", "https://other.example", 1);
    desk.put("two.yaml", &two);
    let run = desk.run(&["mint", "-c", "two.yaml", "--no-env"]).ended(2);
    for option in ["--provider: found nothing, accepted: other, shop", "--key is needed"] {
        assert!(run.err.contains(option), "{run:?}");
    }
}
