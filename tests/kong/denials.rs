//! How denials look, and that nothing opens where there is no library or no configuration.

use std::fs;
use std::time::Duration;

use gatepass::denial::Denial;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::nginx::{Caller, Nginx, Setup, until};
use crate::stack::auth::Auth;
use crate::wire::Request;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_says_why_in_the_form_of_its_rfc() {
    for caller in [Caller::Kong, Caller::OpenResty] {
        let nginx = Setup::bundled().caller(caller).start().await;
        nginx.ready().await;
        let bob = nginx.token("bob");
        for (request, outcome, challenge) in [
            (Request::get("/orders"), "401 token_missing", Some(r#"Bearer realm="shop""#)),
            (
                Request::get("/orders").bearer("a.b.c"),
                "401 token_malformed",
                Some(
                    r#"Bearer realm="shop", error="invalid_token", error_description="The token is not accepted""#,
                ),
            ),
            (
                Request::get("/admin").bearer(&bob),
                "403 insufficient_scope",
                Some(
                    r#"Bearer realm="shop", error="insufficient_scope", error_description="The token lacks a scope", scope="admin""#,
                ),
            ),
            (Request::new("get /orders HTTP/1.1"), "400", None),
            (Request::get("/a/%2e%2e/orders").bearer(&bob), "400 path_ambiguous", None),
        ] {
            let answer = nginx.send(request).await;
            assert_eq!(answer.outcome(), outcome, "{answer}");
            if outcome.contains(' ') {
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{outcome}");
                assert_eq!(answer.header("content-type"), Some("application/problem+json"));
                let members: Vec<_> = answer.json().as_object().unwrap().keys().cloned().collect();
                assert_eq!(members, ["code", "detail", "status", "title"], "{outcome}");
            }
            if challenge.is_some() {
                assert_eq!(answer.header("www-authenticate"), challenge, "{outcome}");
            }
        }
        let page = Request::get("/orders").with("accept", "text/html");
        let answer = nginx.send(page).await;
        assert_eq!(answer.status, 302);
        assert_eq!(answer.header("location"), Some("/login?return_to=%2Forders"));
        let answer = nginx.send(Request::get("/.well-known/gatepass/jwks.json")).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("etag").is_some() && answer.json()["keys"].is_array(), "{answer}");
        let head = Request::new("HEAD /orders HTTP/1.1").with("connection", "close");
        let port = nginx.ports.listener;
        let bytes = head.into_bytes();
        let raw = tokio::task::spawn_blocking(move || {
            use std::io::{Read as _, Write as _};
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.write_all(&bytes).unwrap();
            let mut text = String::new();
            stream.read_to_string(&mut text).unwrap();
            text
        })
        .await
        .unwrap();
        assert!(raw.starts_with("HTTP/1.1 401"), "{raw}");
        assert!(raw.ends_with("\r\n\r\n"), "no body: {raw}");
        until("it is logged", || async { nginx.log().contains(r#""code":"token_missing""#) }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_form_of_kongs_jwt_plugin() {
    let errors = json!({"format": "kong", "realm": "shop"});
    let nginx = Setup::bundled().set("/errors", errors).start().await;
    nginx.ready().await;
    let answer = nginx.send(Request::get("/orders")).await;
    assert_eq!((answer.status, answer.json()), (401, json!({"message": "Unauthorized"})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_configuration_denies_everything_and_is_logged() {
    let mut nginx =
        Setup::bundled().set("/rules", json!([{"match": {}, "bipass": true}])).start().await;
    nginx.expect_errors();
    for path in ["/orders", "/health", "/.well-known/gatepass/jwks.json"] {
        let answer = nginx.send(Request::get(path)).await;
        assert_eq!(answer.outcome(), "503 configuration_invalid", "{path}");
        assert_eq!(answer.header("retry-after"), Some("5"));
        let of_library = Denial::ConfigurationInvalid.reply_unconfigured();
        assert_eq!(answer.json(), serde_json::from_slice::<Value>(&of_library.body).unwrap());
    }
    let page = String::from_utf8(nginx.send(Request::get("/stub/metrics")).await.body).unwrap();
    let counted = "gatepass_requests_total{outcome=denied,code=configuration_invalid} 3";
    assert!(page.contains(counted), "{page}");
    let log = nginx.log();
    assert!(log.contains("$.rules[0].bipass"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_nginx_cannot_read_is_a_wrong_configuration() {
    let services = json!({"auth": {"upstream": "auth"}, "users": {"upstream": "users"},
                          "far": {"upstream": "outbound|80||far"}});
    let config = Setup::bundled().set("/services", services);
    let mut nginx = config.start().await;
    nginx.expect_errors();
    let answer = nginx.send(Request::get("/health")).await;
    assert_eq!(answer.outcome(), "503 configuration_invalid");
    assert!(nginx.log().contains("$.services.far.upstream"), "{}", nginx.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_library_that_is_missing_or_another_denies_everything_and_is_logged() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-library");
    fs::create_dir_all(&directory).unwrap();
    for (case, library, text) in [
        ("missing", None, "libgatepass_kong.so"),
        ("no library", Some("not an ELF file"), "libgatepass_kong.so"),
    ] {
        let path = directory.join("libgatepass_kong.so");
        let _ = fs::remove_file(&path);
        if let Some(bytes) = library {
            fs::write(&path, bytes).unwrap();
        }
        let mut nginx = Setup::bundled().library(&directory).start().await;
        nginx.expect_errors();
        for path in ["/orders", "/health"] {
            let answer = nginx.send(Request::get(path)).await;
            assert_eq!(answer.outcome(), "503 configuration_invalid", "{case}");
        }
        assert!(nginx.log().contains(text), "{case}: {}", nginx.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_share_nothing_take_no_revocations() {
    let mut nginx = Setup::bundled().set("/shared_data", json!("never")).start().await;
    nginx.expect_errors();
    let answer = nginx.send(Request::get("/health")).await;
    assert_eq!(answer.outcome(), "503 configuration_invalid");
    assert!(nginx.log().contains("$.revocation.endpoint"), "{}", nginx.log());
}

/// Where Kong checks a configuration: with the library as it does, and without it, as on a
/// control plane, not at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kongs_validation_says_what_the_library_says() {
    const CHECK: &str = "
      package.preload['kong.db.schema.typedefs'] = function()
        return { no_consumer = {}, protocols_http = {} }
      end
      local schema = require 'kong.plugins.gatepass.schema'
      local config = schema.fields[3].config
      for i, conf in ipairs {
        { services = { auth = { upstream = 'a b' } }, rules = { { match = {}, bipass = true } } },
        require('cjson').decode(io.open('$DIRECTORY/gatepass.json'):read('*a')),
        { rulez = {}, mode = 'dry', updated_at = 1 },
      } do
        -- Kong fills what is absent with null before it asks for the types.
        for _, field in ipairs(config.fields) do
          local name, definition = next(field)
          local value = conf[name] == nil and ngx.null or conf[name]
          local kind = value == ngx.null and 'null' or type(value) == 'table' and 'object' or type(value)
          local types = ' ' .. table.concat(definition.json_schema.inline.type, ' ') .. ' '
          assert(types:find(' ' .. kind .. ' ', 1, true), name .. ' cannot be ' .. kind)
          conf[name] = value
        end
        local ok, err = config.custom_validator(conf)
        print('schema ', i, ' ', tostring(ok), ' ', tostring(err), ' of ', #config.fields)
        -- Which Kong does not ask if there is an unknown field, other than this one.
        local check = schema.entity_checks[1].custom_entity_check
        assert(check.field_sources[1] == 'config' and check.run_with_invalid_fields)
        ok, err = check.fn { config = conf }
        print('whole ', i, ' ', tostring(ok), ' ', tostring(err))
      end ";
    let nginx = Setup::bundled().init(CHECK).start().await;
    let log = nginx.log();
    for text in
        ["schema 1 nil ", "$.services.auth.upstream", "$.rules[0].bipass", "schema 2 true nil"]
    {
        assert!(log.contains(text), "{text}: {log}");
    }
    let whole = log.lines().find(|line| line.contains("whole 3 nil ")).expect("the third");
    let (_, rest) = log.split_once(whole).unwrap();
    let told = format!("{whole}{}", rest.split("stub").next().unwrap());
    for text in
        ["$.rulez: found an unknown field", "$.updated_at: found an unknown", "$.mode: found"]
    {
        assert!(told.contains(text), "{text}: {told}");
    }
    assert!(log.contains("whole 1 true") && log.contains("whole 2 true"), "said by the other");
    // It is the last of the two.
    let shown = format!("{} of ", shown_problem());
    assert!(log.contains(&shown), "kong/README.md has {shown:?}: {log}");
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("none");
    fs::create_dir_all(&directory).unwrap();
    let mut nginx = Setup::bundled().init(CHECK).library(&directory).start().await;
    nginx.expect_errors();
    let log = nginx.log();
    assert!(log.contains("schema 1 true nil") && log.contains("schema 2 true nil"), "{log}");
}

/// As it is written, not as Lua reads it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nginx_without_kong_rejects_what_the_library_rejects() {
    for (case, text, told) in [
        ("an unknown field", r#"text:sub(1, -2) .. ', "rulez": []}'"#, "$.rulez: found an unknown"),
        ("a member twice", r#"text:sub(1, -2) .. ', "rules": []}'"#, "twice"),
        ("null", "'null'", "$: found null"),
        ("a number", "'5'", "$: found "),
        ("no JSON", "'services:'", "$: found text that is not acceptable JSON"),
        ("nothing", "''", "$: found nothing"),
        ("no text", "nil", "$: found nothing"),
        (
            "a vault",
            r#"'{"identity_token": {"signing_keys": [{"algorithm": "ES256", "private_key": {"vault": "{vault://env/key}"}}]}}'"#,
            "found an object with \"vault\"",
        ),
    ] {
        let edit = format!(
            "local plugin = require 'kong.plugins.gatepass.openresty'
             local new = plugin.new
             plugin.new = function(text) return new({text}) end "
        );
        let mut nginx = Setup::bundled().caller(Caller::OpenResty).init(&edit).start().await;
        nginx.expect_errors();
        for path in ["/orders", "/health"] {
            let answer = nginx.send(Request::get(path)).await;
            assert_eq!(answer.outcome(), "503 configuration_invalid", "{case}");
        }
        assert!(nginx.log().contains(told), "{case}: {}", nginx.log());
    }
}

/// RFC 9110 section 8.6: none with 204, and with 304 none but that of the 200.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_has_no_body_has_no_length() {
    const JWKS: &str = "/.well-known/gatepass/jwks.json";
    for caller in [Caller::Kong, Caller::OpenResty] {
        let nginx = Setup::bundled().caller(caller).start().await;
        nginx.ready().await;
        let answer = nginx.send(Request::get(JWKS)).await;
        assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
        let etag = answer.header("etag").unwrap();
        let answer = nginx.send(Request::get(JWKS).with("if-none-match", etag)).await;
        assert_eq!((answer.status, answer.header("content-length")), (304, None), "{answer}");
        let mut claims = Auth::claims("bob").unwrap();
        claims["scope"] = json!("revoke");
        let body = json!({"entries": [{"jti": "none"}]}).to_string();
        let request = Request::post("/.well-known/gatepass/revocations", &body);
        let answer = nginx.send(request.bearer(&nginx.auth.sign(&claims))).await;
        assert_eq!((answer.status, answer.header("content-length")), (204, None), "{answer}");
        assert_eq!(answer.header("transfer-encoding"), None, "{answer}");
    }
}

/// nginx adds the request line to what a request logs: there the parameter is in full. That
/// no token is in the log is looked for when this nginx ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_line_of_a_denial_has_the_token_of_a_query() {
    for caller in [Caller::Kong, Caller::OpenResty] {
        let token = json!({"from_params": ["key"]});
        let nginx = Setup::bundled().set("/token", token).caller(caller).start().await;
        nginx.ready().await;
        let mut claims = Auth::claims("alice").unwrap();
        claims["exp"] = json!(1);
        let expired = nginx.auth.sign(&claims);
        let answer = nginx.send(Request::get(&format!("/orders?key={expired}"))).await;
        assert_eq!(answer.outcome(), "401 token_expired");
        nginx.users_fault(json!({"kind": "down"})).await;
        let late = Request::get(&format!("/orders?key={}", nginx.token("alice")));
        assert_eq!(nginx.send(late).await.outcome(), "503 user_info_unavailable");
        until("both are logged", || async {
            let log = nginx.log();
            ["token_expired", "user_info_unavailable"].iter().all(|code| log.contains(code))
        })
        .await;
    }
}

/// nginx drops a timer that is due while as many run as may. Each callout takes one: a service
/// that is slow is enough.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_wait_while_nginx_runs_no_more_timers() {
    let count = |nginx: &Nginx| nginx.log().matches(r#""code":"token_missing""#).count();
    let setup = Setup::bundled().set("/services/users/timeout_ms", json!(3000));
    let mut nginx = setup.running_timers(3).start().await;
    nginx.expect_errors();
    nginx.ready().await;
    let before = count(&nginx);
    nginx.users_fault(json!({"kind": "slow", "delay_ms": 1500})).await;
    let ask = |user| nginx.send(Request::get("/orders").bearer(&nginx.token(user)));
    let denied = async {
        sleep(Duration::from_millis(150)).await;
        for _ in 0..5 {
            assert_eq!(nginx.send(Request::get("/orders")).await.outcome(), "401 token_missing");
        }
        // Longer than a tick.
        sleep(Duration::from_millis(150)).await;
        assert_eq!(count(&nginx), before, "all timers are in use");
    };
    tokio::join!(ask("alice"), ask("bob"), ask("carol"), denied);
    until("all are logged", || async { count(&nginx) == before + 5 }).await;
    assert_eq!(nginx.send(Request::get("/orders")).await.outcome(), "401 token_missing");
    until("one more is logged", || async { count(&nginx) == before + 6 }).await;
}

/// The problem that the page shows as what Kong says, in one line.
fn shown_problem() -> String {
    let page = fs::read_to_string(crate::nginx::root().join("kong/README.md")).unwrap();
    let (_, example) = page.split_once("schema violation (config: ").expect("an example");
    let (problem, _) = example.split_once(')').expect("its end");
    problem.split_whitespace().collect::<Vec<_>>().join(" ")
}
