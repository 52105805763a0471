//! What cannot be done ends with 2, names what is wrong, and prints nothing on
//! standard output.

use serde_json::json;

use crate::support::{Desk, configuration};

#[test]
fn what_cannot_be_done() {
    let desk = Desk::furnished(&configuration());
    desk.put("broken.yaml", "providers: {a: [");
    desk.put("twice.yaml", "providers: {}\nproviders: {}");
    desk.put("other.yaml", "a: 1");
    desk.put("empty.yaml", "");
    desk.put("wrong.json", &json!({"providers": {}}).to_string());
    let filter = json!({"name": "gatepass", "config": configuration()});
    let two = json!({"_format_version": "3.0", "plugins": [filter, filter]});
    desk.put("two.json", &two.to_string());
    desk.put("public.jwk", r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#);
    for (arguments, expected) in [
        (&["check", "absent.yaml"][..], "absent.yaml: No such file"),
        (&["check", "broken.yaml"], "broken.yaml:2: not acceptable YAML: a [ or {"),
        (&["check", "twice.yaml"], "twice.yaml:2: not acceptable YAML: \"providers\" twice"),
        (&["check", "other.yaml"], "other.yaml: no configuration found"),
        (&["check", "empty.yaml"], "empty.yaml: no configuration found"),
        (&["check"], "required"),
        (
            &["check", "--at-path", "$.x", "two.json"],
            "no configuration at $.x, only at:\n  $.plugins[0].config",
        ),
        (&["explain", "-c", "two.json"], "more than one configuration"),
        (
            &["explain", "-c", "wrong.json"],
            "wrong.json: the configuration is not accepted\n  wrong.json:1: $",
        ),
        (&["explain", "-c", "gatepass.yaml", "--at", "soon"], "--at: found soon"),
        (&["explain", "-c", "gatepass.yaml", "-H", "none"], "--header: found 4 bytes"),
        (&["explain", "-c", "gatepass.yaml", "--token", "absent"], "absent: No such file"),
        (
            &[
                "explain",
                "-c",
                "gatepass.yaml",
                "--at",
                "1800000010",
                "--token",
                "alice.token",
                "--jwks",
                "absent",
            ],
            "absent: No such file",
        ),
        (&["explain"], "required"),
        (&["mint", "--key", "public.jwk"], "public.jwk: member \"d\" is missing"),
        (&["mint", "--key", "alice.json"], "alice.json: "),
        (&["mint", "-c", "gatepass.yaml"], "the configuration has no secret to sign with"),
        (
            &["mint", "-c", "gatepass.yaml", "--key", "issuer.jwk", "--provider", "x"],
            "--provider: found x, accepted: shop",
        ),
        (&["mint", "--key", "issuer.jwk", "--claim", "x"], "--claim: found x"),
        (&["verify", "token"], "required"),
        (&["verify", "--jwks", "alice.json", "token"], "--jwks: found"),
        (&["keygen", "--algorithm", "none"], "invalid value"),
        (&["convert", "broken.yaml"], "broken.yaml: not acceptable YAML"),
        (&["frobnicate"], "unrecognized subcommand"),
        (&[], "Usage"),
    ] {
        let run = desk.run(arguments);
        assert_eq!(run.status, 2, "{arguments:?}: {run:?}");
        assert_eq!(run.out, "", "{arguments:?}");
        assert!(run.err.contains(expected), "{arguments:?}: {}", run.err);
    }
    desk.run(&[
        "explain",
        "-c",
        "two.json",
        "--at-path",
        "$.plugins[1].config",
        "--path",
        "/login",
    ])
    .ended(0);
}

#[test]
fn what_helps_is_not_misuse() {
    let desk = Desk::new();
    for arguments in [&["--help"][..], &["help", "explain"], &["--version"], &["man"]] {
        assert!(!desk.run(arguments).ended(0).out.is_empty(), "{arguments:?}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(desk.run(&["completions", shell]).ended(0).out.contains("explain"), "{shell}");
    }
    desk.run(&["man", "--directory", "pages/man1"]).ended(0);
    for page in ["gatepass.1", "gatepass-explain.1", "gatepass-check.1"] {
        assert!(desk.read(&format!("pages/man1/{page}")).contains(".TH"), "{page}");
    }
}

#[test]
fn standard_input_is_a_file() {
    let desk = Desk::new();
    let own = configuration().to_string();
    let run = desk.run_with(&["check", "--no-env", "-"], &[], &own).ended(0);
    assert_eq!(run.out, "-: $: valid, for envoy\n");
}

/// Nothing of it is shown.
#[test]
fn a_token_or_a_key_is_no_name_of_a_file() {
    let desk = Desk::furnished(&configuration());
    let token = desk.read("alice.token");
    let bearer = format!("Bearer {}", token.trim());
    let key = desk.read("issuer.jwk");
    for arguments in [
        &["explain", "-c", "gatepass.yaml", "--token", token.trim()][..],
        &["explain", "-c", "gatepass.yaml", "--token", &bearer],
        &["jwks", "--key", &key],
        &["check", "{\"services\": {}}"],
    ] {
        let run = desk.run(arguments).ended(2);
        let told = "accepted: the name of a file that has it, or - for standard input";
        assert!(run.err.contains(told), "{arguments:?}: {}", run.err);
        let shown = |secret: &str| run.err.contains(secret);
        assert!(!shown(token.trim()) && !shown("nWGxne"), "{arguments:?}: {}", run.err);
    }
}
