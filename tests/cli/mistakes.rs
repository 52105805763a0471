//! Mistakes in a configuration as a new user makes them: each is found in its line, and is
//! mended by what is told.

use crate::files::{IN_ENVOY, OWN, envoy, with};
use crate::kinds::KINDS;
use crate::support::Desk;

/// What is written wrong, what is right, and what the user is told: with it, the right
/// is found without the manual.
#[test]
fn twenty_mistakes_are_mended_by_what_is_told() {
    let desk = Desk::new();
    for (wrong, right, line, told) in [
        ("    isuer: https", "    issuer: https", 6, "providers.shop.isuer: did you mean issuer?"),
        ("    audience: [shop", "    audiences: [shop", 7, "did you mean audiences?"),
        ("audiences: shop-api", "audiences: [shop-api]", 7, "found a string, accepted: a list"),
        (
            "remoteJwks: {service: auth",
            "remote_jwks: {service: auth",
            8,
            "did you mean remote_jwks?",
        ),
        (
            "service: atuh, path: /jwks",
            "service: auth, path: /jwks",
            8,
            "did you mean auth? found \"atuh\", accepted: one of services: auth, users",
        ),
        ("path: jwks.json}", "path: /jwks.json}", 8, "accepted: a path that starts with /"),
        (
            "upstream: http://auth:8080, auth",
            "upstream: auth, auth",
            2,
            "accepted: Envoy: the name of a cluster; Kong: host:port",
        ),
        ("authority: https://users.int", "authority: users.int", 3, "accepted: host or host:port"),
        (
            "max_lifetime_seconds: 1h",
            "max_lifetime_seconds: 3600",
            9,
            "found \"1h\", accepted: a whole number, 1 to ",
        ),
        (
            "max_lifetime: 3600",
            "max_lifetime_seconds: 3600",
            9,
            "did you mean max_lifetime_seconds?",
        ),
        ("path: /users/{sub", "path: /users/{sub}", 12, "a path such as /users/{sub}"),
        (
            "{country: address.country}",
            "{country: /address/country}",
            13,
            "accepted: a JSON pointer such as /address/country",
        ),
        ("[contry]", "[country]", 14, "did you mean country?"),
        (
            "issuer: https://auth.shop.example\n  audiences: [services]",
            "issuer: https://gateway.internal\n  audiences: [services]",
            16,
            "identity_token.issuer: found the issuer of provider \"shop\" as identity_token.issuer, accepted: an issuer of the gateway's own",
        ),
        (
            "audiences: [shop-api]\n  sig",
            "audiences: [services]\n  sig",
            17,
            "audiences that no access token has",
        ),
        ("es256", "ES256", 19, "did you mean ES256?"),
        (
            "{file: /run/key.pem}",
            "{env: SIGNING_KEY}",
            19,
            "found an object with \"file\", accepted: a private JWK, a PKCS#8 PEM, or {env: NAME}",
        ),
        (
            "{env: $SIGNING_KEY}",
            "{env: SIGNING_KEY}",
            19,
            "which is not set: the name has no $ before it",
        ),
        (
            "{path_prefix: login}",
            "{path_prefix: /login}",
            21,
            "found \"login\", accepted: a path that starts with /",
        ),
        ("bypass: \"yes\"", "bypass: true", 22, "found \"yes\", accepted: true or false"),
        ("requires: {scopes: [a]}", "requires: {scopes_all: [a]}", 22, "did you mean scopes_all?"),
    ] {
        // The last one is about a rule that asks for something.
        let own = match right {
            "requires: {scopes_all: [a]}" => with(OWN, "bypass: true", right),
            _ => OWN.to_owned(),
        };
        desk.put("own.yaml", &with(&own, right, wrong));
        let run = desk.run(&["check", "own.yaml"]).ended(1);
        let place = format!("own.yaml:{line}: error: ");
        let is_told = |row: &str| row.starts_with(&place) && row.contains(told);
        assert!(run.out.lines().any(is_told), "{wrong}: {}", run.out);
        // Nothing more is wrong with it.
        desk.put("own.yaml", &own);
        desk.run(&["check", "--strict", "own.yaml"]).ended(0);
        // In a host's file it is the same, in its own line.
        let file = with(&envoy(), "          - name: envoy.filters.http.router", "@@");
        let rows: Vec<_> = file.lines().collect();
        let own = crate::files::indented(&with(&own, right, wrong), 20);
        let end = rows.iter().position(|row| *row == "@@").unwrap();
        let head = rows[..IN_ENVOY].join("\n");
        let rest = rows[end + 1..].join("\n");
        let file = format!("{head}\n{own}          - name: envoy.filters.http.router\n{rest}\n");
        desk.put("envoy.yaml", &file);
        let run = desk.run(&["check", "envoy.yaml"]).ended(1);
        let place = format!("envoy.yaml:{}: error: ", IN_ENVOY + line);
        let is_told = |row: &str| row.starts_with(&place) && row.contains(told);
        assert!(run.out.lines().any(is_told), "{wrong}: {place}: {}", run.out);
    }
}

/// Of each kind one, the words in its line; what is right is accepted.
#[test]
fn mistakes_of_every_kind_are_mended_by_what_is_told() {
    let desk = Desk::new();
    desk.put("right.yaml", OWN);
    desk.run(&["check", "--strict", "right.yaml"]).ended(0);
    for mistake in &KINDS {
        desk.put("own.yaml", &with(OWN, mistake.right, mistake.wrong));
        let run = desk.run(&["check", "--strict", "own.yaml"]);
        assert!([1, 2].contains(&run.status), "{}: {run:?}", mistake.kind);
        let place = format!("own.yaml:{}: ", mistake.line);
        let is_told = |row: &str| row.contains(&place) && row.contains(mistake.told);
        let all = format!("{}{}", run.out, run.err);
        assert!(all.lines().any(is_told), "{}: {place}{}\n{all}", mistake.kind, mistake.told);
    }
}

/// Another file than the one that is meant.
#[test]
fn files_without_a_configuration_say_what_they_are() {
    let desk = Desk::new();
    for (text, told) in [
        ("", "no configuration found: the file is empty"),
        ("# nothing yet\n\n", "no configuration found: the file is empty"),
        ("_format_version: '3.0'\nplugins: [{name: jwt}]\n", "`gatepass convert FILE` makes"),
        (
            "http_filters: [{name: envoy.filters.http.jwt_authn}]\n",
            "Envoy's filter jwt_authn, and none named gatepass: `gatepass convert FILE` makes",
        ),
        ("a: 1\n", "neither Gatepass's own nor a filter named gatepass in a file for Envoy"),
    ] {
        desk.put("own.yaml", text);
        let run = desk.run(&["check", "own.yaml"]).ended(2);
        assert!(run.err.contains(told), "{text}: {}", run.err);
    }
    desk.put("own.json", "{\n  // the keys\n  \"services\": {}\n}\n");
    let run = desk.run(&["check", "own.json"]).ended(2);
    assert!(run.err.contains("own.json:2: not acceptable JSON: a comment"), "{}", run.err);
}

#[test]
fn colours_are_for_terminals() {
    let desk = Desk::new();
    desk.put("own.yaml", &with(OWN, "issuer", "isuer"));
    let plain = desk.run(&["check", "own.yaml"]).ended(1);
    assert!(!plain.out.contains('\u{1b}'), "{plain:?}");
    let coloured = desk.run(&["check", "--color", "always", "own.yaml"]).ended(1);
    let expected = "\u{1b}[1mown.yaml:6:\u{1b}[0m \u{1b}[1;31merror:\u{1b}[0m \u{1b}[1mproviders.shop.isuer\u{1b}[0m: did you mean issuer?";
    assert!(coloured.out.contains(expected), "{coloured:?}");
}

#[test]
fn programs_get_the_lines_too() {
    let desk = Desk::new();
    desk.put("envoy.yaml", &with(&envoy(), "audiences: [shop-api]", "audience: [shop-api]"));
    let json = desk.run(&["check", "--json", "envoy.yaml"]).ended(1).json();
    let found = &json["configurations"][0];
    assert_eq!(found["line"], IN_ENVOY);
    let problems = found["problems"].as_array().unwrap();
    let own = problems.iter().find(|it| it["perhaps"] == "audiences").unwrap();
    assert_eq!(own["line"], IN_ENVOY + 7);
    assert!(
        own["path"].as_str().unwrap().ends_with(".configuration.value.providers.shop.audience")
    );
}

/// Anchors everywhere, merge keys where the host resolves them: an error is in the line
/// of what is merged.
#[test]
fn anchors_and_merge_keys_are_read_as_hosts_read_them() {
    let desk = Desk::new();
    let shared = "x-own:\n  authority: &authority auth.internal\n";
    let merged = with(OWN, "authority: auth.internal", "<<: *auth, timeout_ms: 500");
    for (case, file, ends, told) in [
        (
            "an anchor of a value",
            with(OWN, "authority: users.internal", "authority: *a")
                .replace("authority: auth.internal", "authority: &a auth.internal"),
            0,
            "",
        ),
        (
            "a merge key",
            with(
                &merged,
                "services:",
                "services:\n  base: &auth {upstream: b, authority: b.internal}",
            ),
            0,
            "",
        ),
        (
            "a mistake in what is merged",
            with(
                &merged,
                "services:",
                "services:\n  base: &auth {upstream: b, autority: b.internal}",
            ),
            1,
            "own.yaml:2: error: services.auth.autority: did you mean authority?",
        ),
        (
            "an anchor in a place of its own, which the filter does not know",
            format!("{shared}{}", with(OWN, "auth.internal", "*authority")),
            1,
            "own.yaml:1: error: x-own: found an unknown field",
        ),
        (
            "in a manifest",
            format!(
                "apiVersion: a\nkind: WasmPlugin\nspec:\n  url: oci://gatepass\n  pluginConfig:\n{}",
                crate::files::indented(
                    &with(
                        &merged,
                        "services:",
                        "services:\n  base: &auth {upstream: b, autority: b}"
                    ),
                    4
                )
            ),
            1,
            "own.yaml:7: error: services.auth.autority: did you mean authority?",
        ),
        (
            "in Envoy's file, with anchors under a tag that Envoy leaves out",
            format!(
                "!ignore bases:\n- &x auth.internal\n{}",
                with(&envoy(), "authority: auth.internal", "authority: *x")
            ),
            0,
            "",
        ),
    ] {
        desk.put("own.yaml", &file);
        let run = desk.run(&["check", "own.yaml"]).ended(ends);
        assert!(run.out.contains(told), "{case}: {}", run.out);
    }
}
