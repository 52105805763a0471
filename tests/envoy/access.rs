//! Who may pass: rules by path, host and header, and consumers.

use crate::gateway::{Gateway, Setup};
use crate::hostile_heads::lax;
use crate::wire::{Request, Wrong};

async fn compare(gateway: &Gateway, cases: Vec<(&str, Request, &str)>) {
    let mut wrong = Wrong::default();
    for (case, request, expected) in cases {
        wrong.compare(case, expected, &gateway.send(request).await);
    }
    wrong.assert_none();
}

const SCOPE: &str = "403 insufficient_scope";
const GROUP: &str = "403 group_forbidden";
const MISSING: &str = "401 token_missing";
const REPEATED: &str = "400 header_repeated";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_may_be_held_to_reading_the_catalog() {
    let gateway = Setup::bundled().start_beside_others().await;
    gateway.ready().await;
    let dave = gateway.token("dave");
    let post = |path: &str| {
        Request::new(format!("POST {path} HTTP/1.1")).with("content-length", "0").bearer(&dave)
    };
    compare(
        &gateway,
        vec![
            ("the catalog", Request::get("/catalog/1").bearer(&dave), "200"),
            ("writing to it", post("/catalog"), GROUP),
            (
                "saying that it only reads",
                post("/catalog").with("x-http-method-override", "GET"),
                GROUP,
            ),
            ("the orders", Request::get("/orders").bearer(&dave), GROUP),
            (
                "saying that it is the catalog",
                Request::get("/orders").bearer(&dave).with("x-original-url", "/catalog"),
                GROUP,
            ),
            ("the orders, by way of it", Request::get("/catalog/../orders").bearer(&dave), GROUP),
            ("a namesake", Request::get("/catalogue").bearer(&dave), GROUP),
            (
                "as another consumer",
                Request::get("/orders").bearer(&dave).with("x-consumer-username", "web-app"),
                GROUP,
            ),
            ("who is not held to it", Request::get("/orders").bearer(&gateway.token("bob")), "200"),
            ("nobody, the catalog", Request::get("/catalog"), "200"),
            ("nobody, the orders", Request::get("/orders"), MISSING),
        ],
    )
    .await;
    let seen = gateway.get("/catalog", &dave).await.seen();
    assert_eq!(seen.values("x-consumer-username"), ["courier-app"]);
    assert_eq!(seen.identity()["groups"], serde_json::json!(["catalog-only"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_consumer_has_no_access_at_all() {
    let consumer = "custom_id: courier";
    let disabled = "custom_id: courier\n                        enabled: false";
    let gateway = Setup::bundled().replace(consumer, disabled).start_beside_others().await;
    gateway.ready().await;
    let dave = gateway.token("dave");
    let unknown = "401 consumer_unknown";
    compare(
        &gateway,
        vec![
            ("the catalog", Request::get("/catalog").bearer(&dave), unknown),
            ("again", Request::get("/catalog").bearer(&dave), unknown),
            ("the orders", Request::get("/orders").bearer(&dave), unknown),
            ("others", Request::get("/orders").bearer(&gateway.token("carol")), "200"),
        ],
    )
    .await;
    assert_eq!(gateway.user_calls("dave").await, 0, "nobody was asked about dave");
}

/// In front of the bundled ones.
const RULES: &str = "policies:
  admins: {scopes_all: [admin], claims: {act: absent}}
  partners: {consumers: [partner]}
limits: {allow_ambiguous_paths: true}
rules:
- {match: {hosts: [status.example, '*.open.example'], methods: [GET]}, bypass: true}
- {match: {hosts: [admin.example]}, policy: admins}
- {match: {headers: [{name: x-mode, value: write}]}, policy: admins}
- {match: {headers: [{name: x-preview, present: true}]}, policy: admins}
- {match: {path_template: '/users/{id}/orders'}, policy: partners}
- {match: {path_template: '/users/*/public/**'}, bypass: true}
- {match: {path_prefix: /files/}, policy: partners}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_by_template_host_and_header() {
    let to = |host: &str| Request::bare("GET / HTTP/1.1").with("host", host);
    for (setup, is_lax) in [(Setup::bundled(), false), (lax(), true)] {
        let gateway = setup.replace_block("rules:", RULES).start_beside_others().await;
        gateway.ready().await;
        let (alice, bob) = (gateway.token("alice"), gateway.token("bob"));
        let carol = gateway.token("carol");
        let get = |path: &str| Request::get(path).bearer(&bob);
        let carol_gets = |path: &str| Request::get(path).bearer(&carol);
        // The bundled Envoy refuses these by itself.
        let refused_as = |code: &'static str| if is_lax { code } else { "400" };
        compare(
            &gateway,
            vec![
                ("open host", to("status.example"), "200"),
                ("in capitals, with a port", to("STATUS.example:8443"), "200"),
                ("with a dot", to("status.example."), "200"),
                ("below an open host", to("a.b.open.example"), "200"),
                ("not below", to("open.example"), MISSING),
                ("a namesake", to("notopen.example"), MISSING),
                (
                    "a host that a client speaks of",
                    to("shop.example").with("x-forwarded-host", "status.example"),
                    MISSING,
                ),
                (
                    "another method",
                    Request::bare("POST / HTTP/1.1")
                        .with("host", "status.example")
                        .with("content-length", "0"),
                    MISSING,
                ),
                ("closed host", to("admin.example").bearer(&bob), SCOPE),
                ("closed host, admin", to("admin.example").bearer(&alice), "200"),
                ("closed host in capitals", to("ADMIN.example:1").bearer(&bob), SCOPE),
                ("closed host with a dot", to("admin.example.").bearer(&bob), SCOPE),
                (
                    "closed host in the target",
                    Request::new("GET http://admin.example/ HTTP/1.1").bearer(&bob),
                    SCOPE,
                ),
                (
                    "open host in Host, closed in the target",
                    Request::bare("GET http://admin.example/ HTTP/1.1")
                        .with("host", "status.example")
                        .bearer(&bob),
                    SCOPE,
                ),
                (
                    "two hosts, which Envoy makes one of",
                    to("status.example").with("host", "shop.example"),
                    "400 host_ambiguous",
                ),
                ("header", get("/").with("x-mode", "write"), SCOPE),
                ("another value", get("/").with("x-mode", "read"), "200"),
                ("twice", get("/").with("x-mode", "read").with("x-mode", "write"), REPEATED),
                ("the other way", get("/").with("X-Mode", "write").with("x-mode", "r"), REPEATED),
                ("a list", get("/").with("x-mode", "read, write"), REPEATED),
                ("underscore", get("/").with("x_mode", "write"), refused_as(REPEATED)),
                ("there", get("/").with("x-preview", ""), SCOPE),
                ("template", get("/users/7/orders"), GROUP),
                ("template, allowed", carol_gets("/users/7/orders"), "200"),
                ("another spelling", get("/users/7/%6frders"), GROUP),
                ("template, longer", get("/users/7/orders/1"), "200"),
                ("template, empty", get("/users//orders"), if is_lax { PATH } else { "200" }),
                ("open template", Request::get("/users/7/public/a/b"), "200"),
                ("open template, its end", Request::get("/users/7/public"), "200"),
                ("closed below an open template", Request::get("/users/7"), MISSING),
                (
                    "out of it",
                    Request::get("/users/7/public/../x"),
                    if is_lax { PATH } else { MISSING },
                ),
                ("a file", get("/files/a"), GROUP),
                ("a file's name with a slash", get("/files/a%2Fb"), refused_as(GROUP)),
                ("allowed", carol_gets("/files/a%2Fb"), refused_as("200")),
                ("a parameter", carol_gets("/files/a;v=1"), "200"),
                ("out of the files", carol_gets("/files/..%2Fx"), refused_as(PATH)),
                // Envoy resolves it.
                ("out, in Java", carol_gets("/files/..;/x"), if is_lax { PATH } else { "200" }),
            ],
        )
        .await;
    }
}

const PATH: &str = "400 path_ambiguous";
