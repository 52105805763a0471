//! Scalars without quotes: what `check` and `explain` take them for is what the host around
//! the configuration makes of them.

use serde_json::json;

use crate::files::{IN_ENVOY, OWN, envoy, with};
use crate::support::{Desk, LATER, configuration};

/// The configuration in files of three hosts, and by itself.
fn files(own: &str) -> [(&'static str, String, usize); 4] {
    let indented = |spaces| crate::files::indented(own, spaces);
    let kong = format!(
        "_format_version: '3.0'\nplugins:\n- name: gatepass\n  config:\n{}",
        indented(4).replace("upstream: auth,", "upstream: 'auth:80',")
    );
    let istio = format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nspec:\n  url: oci://gatepass\n  \
         vmConfig: {{env: [{{name: SIGNING_KEY, valueFrom: HOST}}]}}\n  pluginConfig:\n{}",
        indented(4)
    );
    [
        ("own.yaml", own.to_owned(), 0),
        ("envoy.yaml", with(&envoy(), &crate::files::indented(OWN, 20), &indented(20)), IN_ENVOY),
        ("kong.yml", kong, 4),
        ("istio.yaml", istio, 6),
    ]
}

/// Where another kind of value is wanted, the error says what it is, and the spelling that
/// is right; where any will do, a warning.
#[test]
fn scalars_without_quotes_are_what_the_host_makes_of_them() {
    let desk = Desk::new();
    let rule = |requires: &str| with(OWN, "  bypass: true", &format!("  requires: {requires}"));
    let matching = |methods: &str| {
        with(OWN, "match: {path_prefix: /login}", &format!("match: {{methods: [{methods}]}}"))
    };
    let lifetime = |seconds: &str| {
        with(OWN, "max_lifetime_seconds: 3600", &format!("max_lifetime_seconds: {seconds}"))
    };
    let word = "no without quotes is false to";
    let right = "write \"no\" for the text, else false";
    for (case, own, line, told) in [
        (
            "a word in a list of texts",
            matching("no"),
            21,
            [
                "error: rules[0].match.methods[0]: found false, accepted: a method in upper case",
                word,
                right,
            ],
        ),
        ("a word among roles", rule("{claims: {role: [no]}}"), 22, ["warning: ", word, right]),
        ("a word among groups", rule("{groups_any: [no]}"), 22, ["error: ", "found false", right]),
        (
            "a number in the old way",
            rule("{claims: {code: [010]}}"),
            22,
            ["warning: ", "010 without quotes is 8 to", "write \"010\" for the text, else 8"],
        ),
        (
            "a number in the old way where one is due",
            lifetime("010"),
            9,
            ["warning: ", "010 without quotes is 8 to", "else 8 or 10"],
        ),
    ] {
        for (name, file, before) in files(&own) {
            desk.put(name, &file);
            let run = desk.run(&["check", "--no-env", "--strict", name]).ended(1);
            let place = format!("{name}:{}: ", before + line);
            let is_told =
                |row: &str| row.starts_with(&place) && told.iter().all(|it| row.contains(it));
            assert!(run.out.lines().any(is_told), "{case}: {place}{told:?}: {}", run.out);
        }
    }
    // Where all hosts agree, a boolean may be a word.
    for (name, file, _) in files(&with(OWN, "bypass: true", "bypass: yes")) {
        desk.put(name, &file);
        let run = desk.run(&["check", "--no-env", name]).ended(0);
        assert!(!run.out.contains("yes without quotes"), "{}", run.out);
    }
    // Quoted, they are text everywhere.
    for (name, file, _) in
        files(&rule("{claims: {role: [\"no\", '010', \"1e3\"]}, groups_any: ['on']}"))
    {
        desk.put(name, &file);
        let run = desk.run(&["check", "--no-env", name]).ended(0);
        assert!(!run.out.contains("without quotes"), "{}", run.out);
    }
}

/// What only some hosts take for a number.
#[test]
fn hosts_differ() {
    let desk = Desk::new();
    let own = with(OWN, "max_lifetime_seconds: 3600", "max_lifetime_seconds: 1e3");
    for (name, file, before) in files(&own) {
        desk.put(name, &file);
        let run = desk.run(&["check", "--no-env", name]);
        let place = format!("{name}:{}: ", before + 9);
        let row = run.out.lines().find(|row| row.starts_with(&place)).unwrap_or_default();
        match name {
            "envoy.yaml" | "own.yaml" => {
                assert_eq!(run.status, 1, "{run:?}");
                let told = "found \"1e3\", accepted: a whole number, 1 to 31536000; 1e3 without \
                            quotes is the text \"1e3\" to Envoy";
                assert!(row.contains(told) && row.ends_with("else 1000"), "{run:?}");
            }
            _ => assert_eq!((run.status, row), (0, ""), "{run:?}"),
        }
    }
    // The host that is meant, for a file by itself.
    desk.run(&["check", "--no-env", "--host", "kong", "own.yaml"]).ended(0);
    // A name of a member: text to Envoy, and to a table of Lua not even a member.
    let own = with(OWN, "  bypass: true", "  requires: {claims: {no: [a]}}");
    for (name, file, _) in files(&own) {
        desk.put(name, &file);
        let run = desk.run(&["check", "--no-env", name]);
        let told = match name {
            "envoy.yaml" => "",
            "own.yaml" => {
                "warning: rules[0].requires.claims.no: no without quotes is the text \"no\" to Envoy, and false to Kong"
            }
            "kong.yml" => {
                "error: rules[0].requires.claims.false: found a name that is not text, accepted: no without quotes is false to Kong"
            }
            _ => {
                "warning: rules[0].requires.claims.false: no without quotes is false to Kubernetes"
            }
        };
        assert!(run.out.contains(told), "{name}: {}", run.out);
        assert_eq!(run.out.contains("without quotes"), !told.is_empty(), "{name}: {}", run.out);
    }
}

/// As the member of an elliptic key: only decK has another name for it.
#[test]
fn a_name_that_kong_takes_as_it_is_written_is_no_error() {
    let desk = Desk::new();
    let own = with(OWN, "  bypass: true", "  requires: {claims: {y: [a]}}");
    let (name, file, _) = files(&own).into_iter().find(|(name, ..)| *name == "kong.yml").unwrap();
    desk.put(name, &file);
    let run = desk.run(&["check", "--no-env", name]).ended(0);
    let told = "warning: rules[0].requires.claims.y: y without quotes is the text \"y\" to Kong, and \
                true to Kubernetes";
    assert!(run.out.contains(told), "{}", run.out);
}

/// A plugin that is off, in every spelling of Kong's.
#[test]
fn a_plugin_that_is_off_is_told() {
    let desk = Desk::new();
    for word in ["false", "off", "no", "False", "OFF"] {
        let own = crate::files::indented(OWN, 4).replace("upstream: auth,", "upstream: 'auth:80',");
        let file = format!(
            "_format_version: '3.0'\nplugins:\n- name: gatepass\n  enabled: {word}\n  config:\n{own}"
        );
        desk.put("kong.yml", &file);
        let run = desk.run(&["check", "--no-env", "kong.yml"]).ended(0);
        assert!(run.out.contains(":4: warning: enabled: it is off"), "{word}: {}", run.out);
    }
}

/// Digits that may be a secret are not shown.
#[test]
fn secrets_stay_secret() {
    let desk = Desk::new();
    let own = with(
        OWN,
        "    max_lifetime_seconds: 3600",
        "    max_lifetime_seconds: 3600\n    introspection: {service: auth, path: /i, client_id: a, \
         client_secret: 0123456, jwts: false}",
    );
    for (name, file, before) in files(&own) {
        desk.put(name, &file);
        let run = desk.run(&["check", "--no-env", name]).ended(1);
        let place = format!("{name}:{}: error: ", before + 10);
        let row = run.out.lines().find(|row| row.starts_with(&place)).unwrap();
        assert!(row.contains("it is a number to") && row.contains("quote it"), "{row}");
        for shown in ["0123456", "123456", "42798"] {
            assert!(!run.out.contains(shown), "{}", run.out);
        }
    }
}

/// A rule decides in `explain` by what the host reads, not by what stands there.
#[test]
fn explain_decides_as_the_host_does() {
    let mut config = configuration();
    config["rules"] = json!([{"match": {}, "requires": {"claims": {"role": ["@"]}}}]);
    let desk = Desk::furnished(&config);
    for (spelling, claim, passes) in [
        ("no", "role=no", false),
        ("no", "role=false", true),
        ("'no'", "role=no", true),
        ("010", "role=8", true),
        ("010", "role=10", false),
        ("1.0", "role=\"1.0\"", true),
        ("1.0", "role=1.0", false),
    ] {
        desk.put("odd.yaml", &format!("# YAML\n{config}").replace("\"@\"", spelling));
        desk.put("odd.token", &desk.token(&["--claim", claim]));
        let run = desk.run(&[
            "explain",
            "-c",
            "odd.yaml",
            "--token",
            "odd.token",
            "--jwks",
            "issuer.jwks",
            "--user-info",
            "alice.json",
            "--at",
            LATER,
        ]);
        let told = if passes { "forwarded" } else { "claim_forbidden" };
        assert!(run.out.contains(told), "{spelling}, {claim}: {run:?}");
    }
}
