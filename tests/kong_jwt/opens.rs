//! What a kong.yml protects in ways that are easily overlooked, stays protected.

use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use gatepass_cli::convert::{ConvertError, from_kong};
use serde_json::Value;

use crate::keys::SECRET_32;
use crate::support::*;
use crate::table::hs256;

/// A kong.yml with these services and what comes after them; alice is in staff.
fn kong_with(services: &str, rest: &str) -> String {
    format!(
        "_format_version: '3.0'\n\
         services:\n{services}\n\
         consumers:\n\
         - {{id: a1, username: alice, acls: [{{group: staff}}],\n  \
           jwt_secrets: [{{key: key-HS256, secret: {SECRET_32}}}]}}\n\
         - {{id: b1, username: bob}}\n{rest}"
    )
}

fn converted(kong: &str) -> (World, Vec<String>) {
    let converted = from_kong(kong).unwrap_or_else(|error| panic!("{error}\n{kong}"));
    let mut config = converted.configuration;
    put(&mut config, "/identity_token/signing_keys/0/private_key", gateway_key("ES256"));
    let notes = converted.notes.iter().map(ToString::to_string).collect();
    (World::new(&config, ENVOY), notes)
}

/// The status of a request without a token, and with alice's.
fn statuses(world: &mut World, path: &str) -> [u16; 2] {
    let bearer = format!("Bearer {}", hs256(serde_json::json!({})));
    [None, Some(bearer)].map(|token| {
        let mut fields = vec![(":path", path)];
        fields.extend(token.as_deref().map(|token| ("authorization", token)));
        match world.begin(head(&fields)) {
            Step::Done(Verdict::Forward(_), _) => 200,
            step => answered(step).status,
        }
    })
}

fn error(kong: &str) -> String {
    match from_kong(kong) {
        Err(error) => error.to_string(),
        Ok(converted) => panic!("converted: {}\n{kong}", converted.configuration),
    }
}

const JWT: &str = "{name: jwt, config: {claims_to_verify: [exp]}}";

#[test]
fn merge_keys_are_resolved() {
    let base = "- &base {name: base, url: 'http://a', plugins: [{name: jwt, config: &options \
                {claims_to_verify: [exp]}}], routes: []}\n\
                - {<<: *base, name: shop, routes: [{name: r, paths: [/a]}]}\n\
                - {name: other, plugins: [{name: jwt, config: {<<: *options}}, {name: acl, \
                config: {<<: [{allow: [admins]}, {allow: [staff]}]}}], routes: [{name: o, paths: [/o]}]}\n\
                - {<<: {<<: *base}, name: deep, routes: [{name: d, paths: [/d]}]}";
    let (mut world, notes) = converted(&kong_with(base, ""));
    assert_eq!(statuses(&mut world, "/a"), [401, 200]);
    assert_eq!(statuses(&mut world, "/d"), [401, 200]);
    assert_eq!(statuses(&mut world, "/o"), [401, 403], "the first of two wins");
    assert!(!notes.iter().any(|note| note.contains("did not check exp")), "{notes:#?}");
}

#[test]
fn shared_plugin_configurations_are_filled_in() {
    let services = "- {name: s, plugins: [{name: jwt, _config: j}, {name: acl, _config: closed}], \
                    routes: [{name: r, paths: [/a]},\n  {name: own, paths: [/b], plugins: [{name: acl, \
                    _config: closed, config: {allow: [staff]}}]}]}";
    let shared = "_plugin_configs: {j: {claims_to_verify: [exp]}, closed: {allow: [admins]}}";
    let (mut world, _) = converted(&kong_with(services, shared));
    assert_eq!(statuses(&mut world, "/a"), [401, 403]);
    assert_eq!(statuses(&mut world, "/b"), [401, 200], "its own options win");
    let unknown = error(&kong_with(services, "_plugin_configs: {j: {}}"));
    let place = "$.services[0].plugins[1]._config: found \"closed\"";
    assert!(unknown.contains(place), "{unknown}");
}

#[test]
fn disabled_plugins_do_not_count() {
    let services = format!(
        "- {{name: s, plugins: [{JWT}, {{name: acl, config: {{allow: [admins]}}}}], routes: [\n  \
         {{name: a, paths: [/a], plugins: [{{name: jwt, enabled: false}}]}},\n  \
         {{name: b, paths: [/b], plugins: [{{name: acl, enabled: false, config: {{allow: [staff]}}}}]}}]}}\n\
         - {{name: idle, enabled: no, routes: [{{name: idle, paths: [/a/b]}}]}}"
    );
    let (mut world, notes) = converted(&kong_with(&services, ""));
    for path in ["/a", "/b", "/a/b"] {
        assert_eq!(statuses(&mut world, path), [401, 403], "{path}");
    }
    let expected = "route a: its jwt plugin is disabled, so that of its service or of all holds";
    assert!(notes.contains(&expected.to_owned()), "{notes:#?}");
}

#[test]
fn the_narrowest_scope_counts() {
    let services = format!(
        "- {{name: s, plugins: [{JWT}], routes: [{{name: a, paths: [/a]}}, {{name: b, paths: [/b]}}]}}\n\
         - {{name: t, routes: [{{name: c, paths: [/c]}}]}}"
    );
    let plugins = "plugins:\n\
                   - {name: acl, service: s, route: a, config: {allow: [staff]}}\n\
                   - {name: acl, service: s, config: {allow: [admins]}}\n\
                   - {name: acl, route: a, config: {allow: [admins]}}\n\
                   - {name: acl, service: s, route: c, config: {allow: [staff]}}";
    let (mut world, _) = converted(&kong_with(&services, plugins));
    assert_eq!(statuses(&mut world, "/a"), [401, 200], "service and route");
    assert_eq!(statuses(&mut world, "/b"), [401, 403], "the service");
    assert_eq!(statuses(&mut world, "/c"), [200, 200], "of no service that has it");
}

#[test]
fn who_nobody_lets_in_stays_outside() {
    for (case, plugins) in [
        ("acl alone", "[{name: acl, config: {allow: [staff]}}]"),
        ("another plugin authenticates", "[{name: key-auth}]"),
        ("one that nobody knows", "[{name: acme-gate, config: {x: 1}}]"),
        ("nothing gets through", "[{name: request-termination}]"),
    ] {
        let services = format!(
            "- {{name: s, plugins: [{JWT}], routes: [{{name: a, paths: [/a]}}]}}\n\
             - {{name: t, routes: [{{name: b, paths: [/b], plugins: {plugins}}}]}}"
        );
        let (mut world, notes) = converted(&kong_with(&services, ""));
        assert_eq!(statuses(&mut world, "/b"), [401, 403], "{case}");
        assert_eq!(statuses(&mut world, "/a"), [401, 200], "{case}");
        assert!(notes.iter().any(|note| note.starts_with("route b: ")), "{case}: {notes:#?}");
    }
    // For one consumer only.
    let services = format!("- {{name: s, plugins: [{JWT}], routes: [{{name: a, paths: [/a]}}]}}");
    let plugins = "plugins: [{name: request-termination, consumer: alice}]";
    let (mut world, notes) = converted(&kong_with(&services, plugins));
    assert_eq!(statuses(&mut world, "/a"), [401, 401]);
    assert!(notes.iter().any(|note| note.starts_with("consumer alice: ")), "{notes:#?}");
}

#[test]
fn placeholders_are_no_secrets() {
    let services = format!("- {{name: s, plugins: [{JWT}], routes: [{{name: a, paths: [/a]}}]}}");
    let with = |key: &str, secret: &str, group: &str| {
        let secret = Value::from(secret);
        let credentials = format!(
            "- {{id: c1, username: carol, acls: [{{group: {group}}}], jwt_secrets: [{{key: {key}, \
             secret: {secret}}}]}}\n"
        );
        kong_with(&services, &credentials)
    };
    let carols = |text: &str| {
        let converted = from_kong(text).unwrap();
        let entries = converted.configuration["consumers"]["entries"].as_array().unwrap().clone();
        let notes: Vec<_> = converted.notes.iter().map(ToString::to_string).collect();
        (entries[2].clone(), notes)
    };
    let (carol, _) = carols(&with("k", r#"${{ env "DECK_CAROL" }}"#, "staff"));
    assert_eq!(carol["jwt_secrets"][0]["secret"], serde_json::json!({"env": "DECK_CAROL"}));
    for secret in [
        "${CAROL_SECRET_THAT_IS_LONG_ENOUGH_FOR_HS256}",
        "$CAROL_SECRET_THAT_IS_LONG_ENOUGH_FOR_HS256",
        "{{ .Values.consumers.carol.jwt.secret.of.enough.bytes }}",
        "<REPLACE WITH A SECRET OF AT LEAST 32 BYTES>",
        "replace-me-with-a-secret-of-at-least-32-bytes",
        r#"${{ env "DECK_CAROL" | toString }}-with-a-suffix"#,
        "__CAROL_SECRET_THAT_IS_LONG_ENOUGH_FOR_HS256__",
        "{vault://aws/a-long-name-that-would-do-for-a-secret}",
        "{vault://env/carol/with-a-key-in-it-that-is-long}",
    ] {
        let (carol, notes) = carols(&with("k", secret, "staff"));
        assert_eq!(carol.get("jwt_secrets"), None, "{secret}");
        let note = "consumer carol: credential k is left out: ";
        assert!(notes.iter().any(|it| it.starts_with(note)), "{secret}: {notes:#?}");
        assert!(!notes.iter().any(|it| it.contains(secret)), "{secret} is told");
    }
    for key in [r#"'${{ env "DECK_KEY" }}'"#, "'{{ key }}'", "'{vault://env/key}'"] {
        let (carol, notes) = carols(&with(key, SECRET_32, "staff"));
        assert_eq!(carol.get("jwt_secrets"), None, "{key}");
        assert!(
            notes.iter().any(|it| it.contains("its key is a placeholder")),
            "{key}: {notes:#?}"
        );
    }
    // She may be in any group, also in one that is denied.
    let (carol, _) = carols(&with("k", SECRET_32, "'${GROUP}'"));
    assert_eq!((&carol["enabled"], carol.get("acls")), (&Value::Bool(false), None));
}

#[test]
fn placeholders_in_groups_close() {
    for (acl, expected) in [
        ("{allow: ['${{ env \"DECK_GROUP\" }}']}", 403),
        ("{allow: ['${GROUP}', staff]}", 200),
        ("{deny: ['${GROUP}', others]}", 403),
        ("{deny: [others]}", 200),
        ("{deny: [others], include_consumer_groups: true}", 403),
        ("{allow: []}", 403),
    ] {
        let services = format!(
            "- {{name: s, plugins: [{JWT}, {{name: acl, config: {acl}}}], routes: [{{name: a, paths: [/a]}}]}}"
        );
        let (mut world, _) = converted(&kong_with(&services, ""));
        assert_eq!(statuses(&mut world, "/a"), [401, expected], "{acl}");
    }
}

/// What is not understood is refused whole, with its place.
#[test]
fn what_is_not_understood_is_refused() {
    let route = "{name: r, paths: [/a]}";
    for (case, service, rest, place) in [
        (
            "enabled, by a variable",
            format!(
                "plugins: [{JWT}, {{name: acl, enabled: '${{X}}', \
            config: {{allow: [a]}}}}], routes: [{route}]"
            ),
            "",
            "$.services[0].plugins[1].enabled",
        ),
        (
            "an option",
            format!("plugins: [{{name: jwt, config: {{cache_ttl: 60}}}}], routes: [{route}]"),
            "",
            "$.services[0].plugins[0].config.cache_ttl",
        ),
        (
            "an option of another type",
            format!(
                "plugins: [{{name: jwt, config: {{run_on_preflight: \
            'false'}}}}], routes: [{route}]"
            ),
            "",
            "$.services[0].plugins[0].config.run_on_preflight",
        ),
        (
            "an order of its own",
            format!(
                "plugins: [{JWT}, {{name: acl, ordering: {{before: {{}}}}, \
            config: {{allow: [a]}}}}], routes: [{route}]"
            ),
            "",
            "$.services[0].plugins[1].ordering",
        ),
        (
            "a field of a route",
            format!("plugins: [{JWT}], routes: [{{name: r, path: /a}}]"),
            "",
            "$.services[0].routes[0].path",
        ),
        (
            "a path by a variable",
            format!(
                "plugins: [{JWT}], routes: [{{name: r, paths: \
            ['/${{X}}']}}]"
            ),
            "",
            "$.services[0].routes[0].paths[0]",
        ),
        (
            "a field of a service",
            format!("plugin: [{JWT}], routes: [{route}]"),
            "",
            "$.services[0].plugin",
        ),
        ("a field of the file", format!("routes: [{route}]"), "plugin: []", "$.plugin"),
        (
            "acl for a consumer",
            format!("plugins: [{JWT}], routes: [{route}]"),
            "plugins: [{name: acl, consumer: bob, config: {allow: [x]}}]",
            "$.plugins[0]",
        ),
        (
            "of a route that is not there",
            format!("plugins: [{JWT}], routes: [{route}]"),
            "plugins: [{name: acl, route: other, config: {allow: [x]}}]",
            "$.plugins[0].route",
        ),
        (
            "twice",
            format!("plugins: [{JWT}], routes: [{route}]"),
            "plugins: [{name: jwt, service: s}]",
            "$.plugins[0]",
        ),
        (
            "two routes of a name",
            format!("plugins: [{JWT}], routes: [{route}, {route}]"),
            "",
            "$.services[0].routes[1]",
        ),
        (
            "allow and deny",
            format!(
                "plugins: [{JWT}, {{name: acl, config: {{allow: [a], deny: [b]}}}}], \
            routes: [{route}]"
            ),
            "",
            "$.services[0].plugins[1].config",
        ),
        (
            "a number as group",
            format!(
                "plugins: [{JWT}, {{name: acl, config: {{allow: [1]}}}}], \
            routes: [{route}]"
            ),
            "",
            "$.services[0].plugins[1].config.allow[0]",
        ),
        (
            "defaults of routes",
            format!("plugins: [{JWT}], routes: [{route}]"),
            "_info: {defaults: {route: {methods: [GET]}}}",
            "$._info.defaults",
        ),
        (
            "plugins of a group",
            format!("plugins: [{JWT}], routes: [{route}]"),
            "consumer_groups: [{name: g, plugins: [{name: request-termination}]}]",
            "$.consumer_groups[0].plugins[0].name",
        ),
        (
            "a plugin of a group",
            format!("plugins: [{JWT}], routes: [{route}]"),
            "plugins: [{name: ip-restriction, consumer_group: g}]",
            "$.plugins[0]",
        ),
        (
            "groups of nobody",
            format!("plugins: [{JWT}], routes: [{route}]"),
            "acls: [{group: a}]",
            "$.acls[0]",
        ),
    ] {
        let kong = kong_with(&format!("- {{name: s, {service}}}"), rest);
        let error = error(&kong);
        assert!(error.contains(&format!("{place}: found ")), "{case}: {error}\n{kong}");
    }
}

#[test]
fn what_yaml_says_in_two_ways_is_refused() {
    for (case, text) in [
        ("a key twice", "_format_version: '3.0'\nservices: []\nservices: []"),
        (
            "in a plugin",
            "_format_version: '3.0'\nplugins: [{name: jwt, enabled: true, enabled: false}]",
        ),
        ("two merge keys", "_format_version: '3.0'\nx: {<<: {a: 1}, <<: {b: 1}}"),
        ("a merge of no mapping", "_format_version: '3.0'\nx: {<<: 1}"),
        ("a tag", "_format_version: '3.0'\nplugins: !many []"),
        ("no number", "_format_version: '3.0'\nplugins: .nan"),
        ("two documents", "_format_version: '3.0'\n---\nplugins: []"),
    ] {
        let error = from_kong(text).unwrap_err();
        assert!(matches!(error, ConvertError::NotYaml(_)), "{case}: {error}");
    }
}

// Editors on Windows write one; Kong's reader of YAML takes it for none of the text.
#[test]
fn a_byte_order_mark_is_none_of_the_text() {
    let services = format!("- {{name: s, plugins: [{JWT}], routes: [{{name: r, paths: [/a]}}]}}");
    let (mut world, _) = converted(&format!("\u{feff}{}", kong_with(&services, "")));
    assert_eq!(statuses(&mut world, "/a"), [401, 200]);
}

/// What there is no rule for is a note; the rest is converted.
#[test]
fn paths_without_a_rule() {
    let services = format!(
        "- {{name: s, plugins: [{JWT}, {{name: acl, config: {{allow: [admins]}}}}], routes: [\n  \
         {{name: r, paths: ['~/orders/\\d+$', '/files/*', '/v1/{{id}}', '/a//b', '/x/../y', '/c%2Fd']}}]}}\n\
         - {{name: t, plugins: [{JWT}], routes: [{{name: jwt, paths: [/orders, /blog]}}]}}\n\
         - {{name: u, routes: [{{name: open, paths: [/orders/list, /public, /v1/a, '/log+in']}}]}}"
    );
    let (mut world, notes) = converted(&kong_with(&services, ""));
    assert_eq!(statuses(&mut world, "/orders"), [401, 403], "/orders/ may be below it");
    assert_eq!(statuses(&mut world, "/blog"), [401, 200]);
    assert_eq!(statuses(&mut world, "/public/a"), [200, 200]);
    assert_eq!(
        statuses(&mut world, "/orders/list"),
        [401, 403],
        "may be matched by the expression"
    );
    assert_eq!(statuses(&mut world, "/elsewhere"), [401, 403], "any other request may be /c%2Fd");
    assert_eq!(statuses(&mut world, "/log+in"), [200, 200]);
    for note in ["route r: its conditions", "route r: no accepted", "the last rule: nobody passes"]
    {
        let note = note.replace("nobody passes", "a valid token is needed");
        assert!(notes.iter().any(|it| it.starts_with(&note)), "{note}: {notes:#?}");
    }
}

/// In Kong an escape of a reserved character is another path.
#[test]
fn escapes_open_nothing() {
    let services = format!(
        "- {{name: s, plugins: [{JWT}], routes: [{{name: all, paths: [/]}}]}}\n\
         - {{name: t, routes: [{{name: plus, paths: ['/a+b']}}, {{name: c, hosts: [a.example], paths: [/c]}}]}}"
    );
    let (mut world, notes) = converted(&kong_with(&services, ""));
    assert_eq!(statuses(&mut world, "/a%2Bb"), [401, 200]);
    let host = |host: &str| head(&[(":path", "/c"), (":authority", host)]);
    assert_eq!(answered(world.begin(host("A.EXAMPLE"))).status, 401, "Kong's hosts are text");
    assert!(notes.iter().any(|note| note.starts_with("route plus: has no jwt plugin, but may")));
}

/// Kong's ranks, where one that is taken for lower would open a route.
#[test]
fn ranks_of_routes() {
    let file = |protected: &str, open: &str| {
        let services = format!(
            "- {{name: s, plugins: [{JWT}, {{name: acl, config: {{allow: [admins]}}}}], \
             routes: [{{name: r, {protected}}}]}}\n\
             - {{name: t, routes: [{{name: open, {open}}}]}}"
        );
        converted(&kong_with(&services, "")).0
    };
    let exact = "hosts: [x.example], paths: [/a]";
    let mut world = file(exact, "hosts: ['*.example'], paths: [/a/b]");
    let request = head(&[(":path", "/a/b"), (":authority", "x.example")]);
    assert_eq!(answered(world.begin(request)).status, 401, "hosts without a wildcard first");
    let mut world = file("paths: ['~/ab?']", "paths: [/a]");
    assert_eq!(statuses(&mut world, "/a"), [401, 403], "an expression may match less than it has");
}

/// Kong takes a path in another case for another route's; a service may not.
#[test]
fn paths_in_another_case_are_refused_and_told() {
    let told = |notes: &[String]| notes.iter().any(|note| note.contains("case_sensitive_paths"));
    let routes = |open: &str, protected: &str| {
        let services = format!(
            "- {{name: s, plugins: [{JWT}], routes: [{{name: r, paths: [{protected}]}}]}}\n\
             - {{name: t, routes: [{{name: open, paths: [{open}]}}]}}"
        );
        converted(&kong_with(&services, ""))
    };
    let (mut world, notes) = routes("/", "/admin");
    assert_eq!(statuses(&mut world, "/admin"), [401, 200]);
    assert_eq!(statuses(&mut world, "/ADMIN"), [400, 400], "the route at / has it in Kong");
    assert!(told(&notes), "{notes:?}");
    for (open, protected, expected) in [
        ("/b", "/a", false),
        ("/a", "/a/b", true),
        ("/1", "/1/2", false),
        // Whoever has both means both.
        ("/A", "/a", false),
        ("'~/x'", "/x/y", true),
    ] {
        assert_eq!(told(&routes(open, protected).1), expected, "{open} {protected}");
    }
}

#[test]
fn options_of_several_plugins_are_as_strict_as_the_strictest() {
    let services = "- {name: s, plugins: [{name: jwt, config: {claims_to_verify: [exp], \
                    run_on_preflight: false, maximum_expiration: 600}}], \
                    routes: [{name: a, paths: [/a]}]}\n\
                    - {name: t, plugins: [{name: jwt, config: {claims_to_verify: [exp, nbf], \
                    maximum_expiration: 300}}], routes: [{name: b, paths: [/b]}]}";
    let converted = from_kong(&kong_with(services, "")).unwrap();
    let provider = &converted.configuration["providers"]["kong"];
    let expected = serde_json::json!({
        "kind": "kong_jwt", "claims_to_verify": ["exp", "nbf"], "maximum_expiration": 300,
    });
    assert_eq!(*provider, expected);
    // Without acl the preflights of all may pass.
    let services = "- {name: s, plugins: [{name: jwt, config: {claims_to_verify: [exp], \
                    run_on_preflight: false}}], routes: [{name: a, paths: [/a]}ACL]}";
    for (route, expected) in [
        ("", Some(false)),
        (", {name: b, paths: [/b], plugins: [{name: acl, config: {allow: [x]}}]}", None),
    ] {
        let converted = from_kong(&kong_with(&services.replace("ACL", route), "")).unwrap();
        let provider = &converted.configuration["providers"]["kong"];
        assert_eq!(provider.get("run_on_preflight").and_then(Value::as_bool), expected, "{route}");
    }
}

#[test]
fn without_credentials_there_is_no_configuration() {
    let services = format!("- {{name: s, plugins: [{JWT}], routes: [{{name: a, paths: [/a]}}]}}");
    let kong = kong_with(&services, "").replace(SECRET_32, "'{{ .Values.secret }}'");
    let error = from_kong(&kong).unwrap_err();
    assert!(matches!(&error, ConvertError::NoCredential(notes) if notes.len() == 1), "{error}");
    let twice = kong_with(
        &services,
        &format!("jwt_secrets: [{{consumer: bob, key: key-HS256, secret: {SECRET_32}}}]"),
    );
    assert!(from_kong(&twice).unwrap_err().to_string().starts_with("consumer bob: "));
}
