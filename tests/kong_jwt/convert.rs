//! A kong.yml becomes a configuration, and its consumers get through with the
//! tokens they have.

use gatepass_cli::convert::{Converted, from_kong};
use serde_json::{Value, json};

use crate::keys::{ASYMMETRIC, SECRET_32, SECRET_64, public_pem, token_of};
use crate::support::*;
use crate::table::{hs256, token_for};

/// A kong.yml as JSON, which is YAML: consumers of every algorithm, routes of
/// every sort of protection.
fn kong() -> Value {
    let jwt =
        json!({"name": "jwt", "config": {"claims_to_verify": ["exp"], "key_claim_name": "iss"}});
    let acl = |allow: &str| json!({"name": "acl", "config": {"allow": [allow]}});
    let secrets = ASYMMETRIC.iter().map(|algorithm| {
        json!({
            "consumer": "bob", "key": format!("key-{algorithm}"), "algorithm": algorithm,
            "rsa_public_key": public_pem(algorithm),
        })
    });
    json!({
        "_format_version": "3.0",
        "services": [
            {
                "name": "shop", "url": "http://shop.internal", "plugins": [jwt],
                "routes": [
                    {"name": "orders", "paths": ["/orders"]},
                    {"name": "admin", "paths": ["/admin", "/root/"], "plugins": [acl("staff")]},
                    {"name": "reports", "paths": ["/orders/reports"], "methods": ["GET"],
                     "plugins": [acl("eu")]},
                ],
            },
            {"name": "blog", "url": "http://blog", "routes": [
                {"name": "health", "paths": ["/health"]},
                {"name": "blog", "paths": ["/blog"]},
            ]},
        ],
        "consumers": [
            {"id": "a1", "username": "alice", "custom_id": "alice-1",
             "jwt_secrets": [
                {"key": "key-HS256", "secret": SECRET_32},
                {"key": "key-HS384", "secret": SECRET_64, "algorithm": "HS384"},
                {"key": "key-HS512", "secret": SECRET_64, "algorithm": "HS512"},
             ],
             "acls": [{"group": "staff"}]},
            {"id": "b1", "username": "bob"},
        ],
        "jwt_secrets": secrets.collect::<Vec<_>>(),
        "acls": [{"consumer": "bob", "group": "eu"}],
    })
}

fn convert(kong: &Value) -> Converted {
    from_kong(&kong.to_string()).unwrap_or_else(|error| panic!("{error}"))
}

fn notes(converted: &Converted) -> Vec<String> {
    converted.notes.iter().map(ToString::to_string).collect()
}

/// The converted configuration with a key to sign with.
fn world(converted: &Converted, host: gatepass::host::HostCapabilities) -> World {
    let mut config = converted.configuration.clone();
    put(&mut config, "/identity_token/signing_keys/0/private_key", gateway_key("ES256"));
    World::new(&config, host)
}

#[test]
fn every_consumer_gets_through() {
    let converted = convert(&kong());
    for host in HOSTS {
        let mut world = world(&converted, host);
        let algorithms = ["HS256", "HS384", "HS512"].map(|name| (name, "alice"));
        for (algorithm, consumer) in
            algorithms.into_iter().chain(ASYMMETRIC.map(|name| (name, "bob")))
        {
            let bearer = format!("Bearer {}", token_for(algorithm));
            let mut status = |path: &str| {
                let request = head(&[(":path", path), ("authorization", &bearer)]);
                match world.begin(request) {
                    gatepass::pipeline::Step::Done(
                        gatepass::verdict::Verdict::Forward(edits),
                        _,
                    ) => {
                        let found = field(&edits, "x-consumer-username");
                        assert_eq!(found.as_deref(), Some(consumer), "{algorithm} {path}");
                        200
                    }
                    step => answered(step).status,
                }
            };
            let (staff, eu) = if consumer == "alice" { (200, 403) } else { (403, 200) };
            for (path, expected) in [
                ("/orders", 200),
                ("/orders/1", 200),
                ("/orders/reports", eu),
                ("/admin", staff),
                ("/admin/users", staff),
                ("/root/x", staff),
            ] {
                assert_eq!(status(path), expected, "{algorithm} {path}");
            }
        }
        for (path, expected) in [("/orders", 401), ("/admin", 401), ("/elsewhere", 401)] {
            let reply = answered(world.begin(head(&[(":path", path)])));
            assert_eq!(reply.status, expected, "{path}");
        }
        for path in ["/health", "/blog/1"] {
            forwarded(world.begin(head(&[(":path", path)])));
        }
        let reply = answered(world.begin(head(&[(":path", "/healthy")])));
        assert_eq!(reply.status, 401, "longer paths of open routes are not open");
    }
}

#[test]
fn what_it_comes_to() {
    let converted = convert(&kong());
    let rules = &converted.configuration["rules"];
    assert_eq!(
        *rules,
        json!([
            {"match": {"path_starts_with": "/orders/reports", "methods": ["GET"]},
             "requires": {"providers": ["kong"], "groups_any": ["eu"]}},
            {"match": {"path_starts_with": "/orders"}, "requires": {"providers": ["kong"]}},
            {"match": {"path_prefix": "/health"}, "bypass": true},
            {"match": {"path_starts_with": "/admin"},
             "requires": {"providers": ["kong"], "groups_any": ["staff"]}},
            {"match": {"path_starts_with": "/root/"},
             "requires": {"providers": ["kong"], "groups_any": ["staff"]}},
            {"match": {"path_prefix": "/blog"}, "bypass": true},
        ])
    );
    assert_eq!(
        notes(&converted),
        [
            "route health: has no jwt plugin: its requests pass without a token at /health and \
             below it, as before; those for paths that only begin so, such as /health-x, must \
             meet the other rules",
            "route blog: has no jwt plugin: its requests pass without a token at /blog and below \
             it, as before; those for paths that only begin so, such as /blog-x, must meet the \
             other rules",
            "limits.case_sensitive_paths: paths that in another case are another route's are 400, \
             where Kong takes them for route orders, route reports; set it to true where all \
             services tell upper from lower case",
            "service shop: when Gatepass is added, remove its plugin jwt: beside it, what it \
             accepts may be rejected",
            "route admin: when Gatepass is added, remove its plugin acl: beside it, what it \
             accepts may be rejected",
            "route reports: when Gatepass is added, remove its plugin acl: beside it, what it \
             accepts may be rejected",
            "identity_token: is new: choose issuer and audiences, and put a signing key in \
             GATEPASS_SIGNING_KEY",
        ]
    );
}

/// Hosts and groups that are denied, by the names that rules have for them.
#[test]
fn hosts_and_denied_groups() {
    let mut kong = kong();
    kong["services"] = json!([]);
    kong["routes"] = json!([
        {"name": "wild", "hosts": ["*.shop.example"], "paths": ["/a"]},
        {"name": "exact", "hosts": ["api.shop.example"], "paths": ["/a"]},
    ]);
    kong["plugins"] = json!([
        {"name": "jwt", "config": {"claims_to_verify": ["exp"]}},
        {"name": "acl", "route": "exact", "config": {"deny": ["blocked"]}},
    ]);
    assert_eq!(
        convert(&kong).configuration["rules"],
        json!([
            {"match": {"path_starts_with": "/a", "hosts": ["api.shop.example"]},
             "requires": {"providers": ["kong"], "groups_none": ["blocked"]}},
            {"match": {"path_starts_with": "/a", "hosts": ["*.shop.example"]},
             "requires": {"providers": ["kong"]}},
        ])
    );
}

#[test]
fn anonymous_consumers() {
    let mut kong = kong();
    put(&mut kong, "/services/0/plugins/0/config/anonymous", json!("b1"));
    let converted = convert(&kong);
    assert_eq!(converted.configuration["consumers"]["anonymous"], "bob");
    let mut world = world(&converted, ENVOY);
    let edits = forwarded(world.begin(head(&[(":path", "/orders")])));
    assert_eq!(field(&edits, "x-anonymous-consumer").as_deref(), Some("true"));
    assert_eq!(field(&edits, "x-consumer-username").as_deref(), Some("bob"));
    forwarded(world.begin(head(&[(":path", "/orders/reports")])));
    let denied = answered(world.begin(head(&[(":path", "/admin")])));
    assert_eq!(denied.status, 401, "bob is not in staff");
    let expected = "route admin: a request without a token gets 401, not 403: the anonymous consumer is not in the required groups";
    assert!(notes(&converted).contains(&expected.to_owned()), "{:?}", notes(&converted));

    put(&mut kong, "/services/0/plugins/0/config/anonymous", json!("stranger"));
    let converted = convert(&kong);
    assert_eq!(converted.configuration["consumers"].get("anonymous"), None);
    assert!(notes(&converted)[0].contains("anonymous stranger is not a consumer"));
}

#[test]
fn what_cannot_be_carried_over_is_told() {
    for (case, pointer, value, note) in [
        (
            "no dates",
            "/services/0/plugins/0/config",
            json!({"key_claim_name": "iss"}),
            "plugin jwt: did not check exp",
        ),
        (
            "other options on a route",
            "/services/0/routes/0/plugins",
            json!([{"name": "jwt", "config": {"cookie_names": ["a"]}}]),
            "its jwt plugin finds tokens or keys in another way",
        ),
        (
            "a secret too short",
            "/consumers/0/jwt_secrets/0/secret",
            json!("hunter2"),
            "consumer alice: credential key-HS256 is left out: the secret must have at least 32",
        ),
        (
            "a secret in a vault that the filter does not know",
            "/consumers/0/jwt_secrets/0/secret",
            json!("{vault://aws/a-long-name-that-would-do-for-a-secret}"),
            "credential key-HS256 is left out: its value is in a vault",
        ),
        (
            "a credential without a secret",
            "/consumers/0/jwt_secrets/0",
            json!({"key": "key-HS256"}),
            "credential key-HS256 is left out: HS256 without secret",
        ),
        (
            "keys of another plugin",
            "/consumers/0/keyauth_credentials",
            json!([{"key": "mouse"}]),
            "consumer alice: its keyauth_credentials stay in Kong",
        ),
        ("no id", "/consumers/1/id", Value::Null, "consumer bob: has no id"),
        (
            "a plugin of consumers",
            "/plugins",
            json!([{"name": "rate-limiting", "config": {}}]),
            "plugin rate-limiting: runs before the filter",
        ),
        (
            "groups that are hidden",
            "/services/0/routes/1/plugins/0/config/hide_groups_header",
            json!(true),
            "route admin: X-Consumer-Groups is sent",
        ),
        (
            "a regular expression",
            "/services/0/routes/0/paths",
            json!(["~/orders/\\d+$"]),
            "route orders: its conditions",
        ),
    ] {
        let mut kong = kong();
        put(&mut kong, pointer, value);
        let converted = convert(&kong);
        let notes = notes(&converted);
        assert!(notes.iter().any(|told| told.contains(note)), "{case}: {notes:#?}");
        assert!(!notes.iter().any(|told| told.contains("hunter2")), "{case}: a secret is told");
        // What is left is a configuration all the same.
        world(&converted, ENVOY);
    }
}

/// A route that was protected never becomes open.
#[test]
fn nothing_protected_becomes_open() {
    // The prefixes of Kong's paths are text: /administrator is below /admin.
    let mut open_root = kong();
    put(&mut open_root, "/services/1/routes/1/paths", json!(["/"]));
    // Somewhere below, who knows where.
    let mut expression = kong();
    put(&mut expression, "/services/0/routes/0/paths", json!(["~/(orders|blog)/.*"]));
    for (kong, path, is_told) in
        [(open_root, "/administrator", false), (expression, "/blog/1", true)]
    {
        let converted = convert(&kong);
        let mut world = world(&converted, ENVOY);
        assert_eq!(answered(world.begin(head(&[(":path", path)]))).status, 401, "{path}");
        let notes = notes(&converted);
        let text = "until you write a rule with bypass";
        assert_eq!(notes.iter().any(|it| it.contains(text)), is_told, "{notes:#?}");
    }
    let mut with_groups = kong();
    put(&mut with_groups, "/services/0/routes/1/headers", json!({"x-admin": ["1"]}));
    let converted = convert(&with_groups);
    let mut world = world(&converted, ENVOY);
    let bob = format!("Bearer {}", token_for("ES256"));
    for path in ["/admin", "/administrator", "/elsewhere"] {
        let reply = answered(world.begin(head(&[(":path", path), ("authorization", &bob)])));
        assert_eq!(reply.status, 403, "{path} is only for staff, since a header may make it admin");
    }
}

#[test]
fn values_of_the_environment() {
    let mut kong = kong();
    put(&mut kong, "/consumers/0/jwt_secrets/0/secret", json!("{vault://env/alice-secret}"));
    let converted = convert(&kong);
    let secret = &converted.configuration["consumers"]["entries"][0]["jwt_secrets"][0]["secret"];
    assert_eq!(*secret, json!({"env": "ALICE_SECRET"}));
}

#[test]
fn what_is_no_kong_yml() {
    for (text, expected) in [
        ("{", "cannot be read as YAML"),
        ("services: []", "_format_version is missing"),
        ("_format_version: '4.0'", "_format_version is \"4.0\""),
        ("_format_version: '3.0'", "no plugin that can be carried over"),
        ("[]", "_format_version is missing"),
        (
            "_format_version: 3.0\nplugins: [{name: jwt, enabled: false}]\nroutes: [{paths: [/]}]",
            "no plugin",
        ),
    ] {
        let error = from_kong(text).expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

/// A token of another algorithm than the credential's is not taken.
#[test]
fn algorithms_stay_pinned() {
    let converted = convert(&kong());
    let mut world = world(&converted, ENVOY);
    let claims = json!({"iss": "key-RS256", "exp": START + 60});
    let confused = token_of(&json!({"alg": "HS256"}), &claims, "HS256", &public_pem("RS256"));
    assert_eq!(answered(world.get(&confused)).status, 401);
    world.forwarded(&hs256(json!({})));
}
