//! Sealed tokens: issued by a login that the gateway makes in the client's
//! place, and opened when they come back.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use gatepass::callout::{Answer, CalloutReply, ReplyFields};
use gatepass::host::HostCapabilities;
use gatepass::http::{LocalReply, RequestHead};
use gatepass::pipeline::{Dispatch, Step};
use serde_json::{Value, json};

use crate::support::*;

const NEXT_KEY: &str = "__________________________________________8";

/// A configuration with one login for JSON and cookies.
fn config<const N: usize>(edits: [(&str, Value); N]) -> Value {
    let mut config = local([
        (
            "/sealed_tokens",
            json!({
                "keys": [SEAL_KEY],
                "logins": [{
                    "match": {"path": "/login", "methods": ["GET", "POST"]}, "service": "auth",
                    "json": ["/access_token"], "cookies": ["shop_token"],
                }],
            }),
        ),
        (
            "/token",
            json!({"from_cookies": ["shop_token"], "from_params": ["access_token"], "from_headers": [
            {"name": "authorization", "value_prefix": "Bearer "}]}),
        ),
    ]);
    for (pointer, value) in edits {
        put(&mut config, pointer, value);
    }
    config
}

fn sealed_with(key: &str, token: &str) -> String {
    seal_keys(key).seal(token.as_bytes(), b"random").unwrap()
}

fn opened(text: &str) -> String {
    String::from_utf8(seal_keys(SEAL_KEY).open(text.as_bytes()).unwrap()).unwrap()
}

/// A request to log in without a body.
fn login(fields: &[(&str, &str)]) -> RequestHead {
    head(&[&[(":path", "/login"), (":method", "GET")], fields].concat())
}

/// What the login service answers.
fn service_says(status: u16, fields: &[(&str, &str)], body: &str) -> CalloutReply {
    let fields = fields.iter().copied().collect();
    CalloutReply::Answer(Answer { status, cache_control: None, fields, body: body.into() })
}

const JSON: (&str, &str) = ("content-type", "application/json");
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const TEXT: (&str, &str) = ("content-type", "text/plain");

/// What a client gets for a service's reply.
fn logged_in(host: HostCapabilities, reply: &CalloutReply) -> LocalReply {
    let mut world = World::new(&config([]), host);
    let step = world.begin(login(&[]));
    answered(world.answer(step, reply))
}

fn code(reply: &LocalReply) -> String {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    format!("{} {}", reply.status, body["code"].as_str().unwrap_or_default())
}

fn sent_field(sent: &Dispatch, name: &str) -> Option<String> {
    let mut found = sent.callout.headers.iter().filter(|(other, _)| other.as_str() == name);
    let value = found.next().map(|(_, value)| value.expose().clone());
    assert!(found.next().is_none(), "{name} once");
    value
}

#[test]
fn a_token_in_json_is_sealed_and_accepted_when_it_comes_back() {
    for host in HOSTS {
        let mut world = World::new(&config([]), host);
        let token = alice();
        let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3600});
        let step = world.begin(login(&[]));
        let reply = answered(world.answer(step, &service_says(200, &[JSON], &body.to_string())));
        assert_eq!(reply.status, 200);
        assert_eq!(reply_field(&reply, "content-type"), Some("application/json"));
        assert_eq!(reply_field(&reply, "cache-control"), Some("no-store"));
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!((&body["token_type"], &body["expires_in"]), (&json!("Bearer"), &json!(3600)));
        let given = body["access_token"].as_str().unwrap();
        assert!(given.starts_with("gps_"), "{given}");
        for part in token.split('.') {
            assert!(!String::from_utf8_lossy(&reply.body).contains(part), "{part}");
        }
        let edits = world.forwarded(given);
        assert_eq!(world.identity(&edits)["sub"], "alice");
        let edits = world.forwarded(&token);
        assert_eq!(world.identity(&edits)["sub"], "alice", "as without sealing");
    }
}

#[test]
fn a_token_in_a_cookie_is_sealed_with_its_attributes_kept() {
    let token = alice();
    for (case, cookie, before, after) in [
        ("plain", format!("shop_token={token}"), "shop_token=", ""),
        (
            "attributes",
            format!("shop_token={token}; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=60"),
            "shop_token=",
            "; Path=/; HttpOnly; Secure; SameSite=Lax; Max-Age=60",
        ),
        ("quoted", format!("shop_token=\"{token}\";Path=/"), "shop_token=", ";Path=/"),
        ("spaces", format!(" shop_token = {token} ;Path=/"), "shop_token=", ";Path=/"),
    ] {
        for host in HOSTS {
            let says = service_says(302, &[("location", "/home"), ("Set-Cookie", &cookie)], "");
            let reply = logged_in(host, &says);
            assert_eq!(reply.status, 302, "{case}: a redirect stays one");
            assert_eq!(reply_field(&reply, "location"), Some("/home"));
            let value = reply_field(&reply, "set-cookie").unwrap();
            let value = value.strip_prefix(before).and_then(|value| value.strip_suffix(after));
            assert_eq!(opened(value.unwrap()), token, "{case}");
        }
    }
    let mut world = World::new(&config([]), ENVOY);
    let cookie = format!("theme=dark; shop_token={}", sealed(&token));
    let edits = forwarded(world.begin(head(&[("cookie", &cookie)])));
    assert_eq!(world.identity(&edits)["sub"], "alice");
    assert_eq!(edits.sanitized().rewrite, [("cookie".into(), b"theme=dark".to_vec())]);
}

#[test]
fn other_replies_pass_as_they_are() {
    let digest =
        json!({"etag": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"});
    let digest = digest.to_string();
    for (case, status, fields, body) in [
        ("a wrong password", 401, &[JSON][..], r#"{"error":"invalid_grant"}"#),
        ("a second factor", 200, &[JSON], r#"{"access_token":null,"mfa":true}"#),
        ("an empty token", 200, &[JSON], r#"{"access_token":""}"#),
        ("a page", 200, &[("content-type", "text/html")], "<form>Who are you?</form>"),
        ("nothing", 204, &[], ""),
        ("an error that is no JSON", 500, &[JSON], "Bad gateway"),
        ("logged out", 303, &[("set-cookie", "shop_token=; Max-Age=0")], ""),
        ("another cookie", 200, &[("set-cookie", "theme=dark; Path=/")], ""),
        ("a list of words", 200, &[JSON], r#"["orders","catalog"]"#),
        ("a text", 200, &[JSON], r#""Welcome back, Alice""#),
        ("an error as a text", 400, &[JSON], r#""invalid_credentials_of_user""#),
        ("a digest", 200, &[JSON], &digest),
        ("a cookie without a name", 200, &[("set-cookie", "dark")], ""),
    ] {
        for host in HOSTS {
            let reply = logged_in(host, &service_says(status, fields, body));
            assert_eq!((reply.status, reply.body.as_slice()), (status, body.as_bytes()), "{case}");
            for (name, value) in fields {
                assert_eq!(reply_field(&reply, name), Some(*value), "{case}");
            }
        }
    }
}

#[test]
fn what_is_about_the_connection_is_not_passed_on() {
    let fields = [
        (":status", "200"),
        ("Connection", "close, X-Hop"),
        ("x-hop", "1"),
        ("transfer-encoding", "chunked"),
        ("Content-Length", "2"),
        ("keep-alive", "timeout=5"),
        ("date", "Sun, 22 Nov 2026 09:00:00 GMT"),
        ("Server", "auth"),
        ("upgrade", "h2c"),
        ("content-encoding", "identity"),
        ("Cache-Control", "private"),
        ("vary", "origin"),
        ("vary", "accept"),
    ];
    let names = |reply: &LocalReply| {
        reply.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>()
    };
    let says = service_says(200, &fields, "{}");
    let common = ["content-encoding: identity", "cache-control: private"];
    let reply = logged_in(ENVOY, &says);
    assert_eq!(names(&reply), [&common[..], &["vary: origin", "vary: accept"]].concat());
    let reply = logged_in(KONG, &says);
    assert_eq!(names(&reply), [&common[..], &["vary: origin, accept"]].concat());
}

#[test]
fn nothing_goes_out_in_which_a_token_could_be_left() {
    let token = alice();
    let reference = "opaque-reference-0123456789";
    let payload = token.split('.').nth(1).unwrap();
    let jwe = format!("{}.k.i.c.t", token.split('.').next().unwrap());
    let html = ("content-type", "text/html");
    let flask = |token: &str| BASE64URL.encode(json!({"token": token}).to_string());
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let zlib = BASE64URL.encode([&[0x78, 0x9C][..], &[7; 40]].concat());
    for (case, status, fields, body) in [
        ("another member", 200, vec![JSON], json!({"access_token": token, "id_token": alice()})),
        ("only another member", 200, vec![JSON], json!({"jwt": token})),
        ("nested", 200, vec![JSON], json!({"data": [{"token": token}]})),
        ("in text", 200, vec![JSON], json!({"note": format!("your token is {token}.")})),
        ("a JWE", 200, vec![JSON], json!({"refresh_token": jwe})),
        ("an error", 400, vec![JSON], json!({"jwt": token})),
        (
            "the payload once more",
            200,
            vec![JSON],
            json!({"access_token": token, "claims": payload}),
        ),
        (
            "a reference twice",
            200,
            vec![JSON],
            json!({"access_token": reference, "token": reference}),
        ),
        (
            "a reference twice, escaped",
            200,
            vec![JSON, ("x-token", "opaque%2dreference%2D0123456789")],
            json!({"access_token": reference}),
        ),
        ("a header", 200, vec![JSON, ("x-token", &token)], json!({"access_token": token})),
        ("a header alone", 200, vec![("authorization", &token)], json!({})),
        ("a redirect", 302, vec![("location", &format!("/#t={token}"))], json!("")),
        ("another cookie", 200, vec![("set-cookie", &format!("jwt={token}"))], json!("")),
        ("an attribute", 200, vec![("set-cookie", &format!("a=b; Path=/{token}"))], json!("")),
        ("a page", 200, vec![html], json!(format!("<script>t='{token}'</script>"))),
        ("escaped", 200, vec![JSON], json!({"t": format!("?t={}", token.replace('.', "%2e"))})),
        ("an object", 200, vec![JSON], json!({"access_token": {"raw": reference}})),
        ("a number", 200, vec![JSON], json!({"access_token": 7})),
        ("no token", 200, vec![JSON], json!({"access_token": "two words"})),
        ("sealed already", 200, vec![JSON], json!({"access_token": sealed(&token)})),
        ("too long", 200, vec![JSON], json!({"access_token": "x".repeat(6200)})),
        ("compressed", 200, vec![JSON, ("content-encoding", "gzip")], json!({})),
        (
            "compressed twice",
            200,
            vec![("content-encoding", "identity"), ("content-encoding", "br")],
            json!({}),
        ),
        (
            "in base64 in a cookie, as Flask's sessions",
            200,
            vec![JSON, ("set-cookie", &format!("session={}.Z0xT.c2ln", flask(reference)))],
            json!({"access_token": reference}),
        ),
        (
            "a JWT in base64 in a cookie",
            302,
            vec![("set-cookie", &format!("session={}.Z0xT.c2ln; Path=/", flask(&token)))],
            json!(""),
        ),
        (
            "compressed in a cookie",
            302,
            vec![("set-cookie", &format!("session=.{zlib}.Z0xT.c2ln"))],
            json!(""),
        ),
        (
            "the header of a JWT in a cookie alone",
            200,
            vec![JSON, ("set-cookie", &format!("h={}", token.split('.').next().unwrap()))],
            json!({}),
        ),
        (
            "a piece of a reference",
            200,
            vec![JSON, ("set-cookie", &format!("a={}", &reference[..22]))],
            json!({"access_token": reference}),
        ),
        (
            "escaped in a page",
            200,
            vec![html],
            json!(format!("'{}'", token.replace('.', "\\u002e"))),
        ),
        (
            "in hex",
            200,
            vec![JSON, ("set-cookie", &format!("s={}; Path=/", hex(reference)))],
            json!({"access_token": reference}),
        ),
        ("a JWT in hex", 200, vec![JSON], json!({"debug": hex(&token)})),
        (
            "as HTML",
            200,
            vec![html],
            json!(token.bytes().map(|byte| format!("&#{byte};")).collect::<String>()),
        ),
        ("a token as JSON", 200, vec![JSON], json!(format!("\"{reference}\""))),
        ("a token in a list", 200, vec![JSON], json!(["Bearer", reference])),
        (
            "another token in a list",
            200,
            vec![JSON, ("set-cookie", "shop_token=opaque-reference-1")],
            json!([reference]),
        ),
        ("a form", 200, vec![FORM], json!("access_token=opaque-reference-1&scope=a")),
        ("a form that refuses", 400, vec![FORM], json!("access_token=opaque-reference-1")),
        ("a token alone", 200, vec![TEXT], json!(reference)),
        ("something else", 200, vec![("content-type", "application/xml")], json!("<t>x</t>")),
        (
            "a script with a token",
            200,
            vec![("content-type", "text/javascript")],
            json!(format!("login({{access_token: '{reference}'}})")),
        ),
        ("a line break", 200, vec![("x-a", "a\r\nset-cookie: b")], json!({})),
        ("nobody was there", 503, vec![], json!("upstream connect error")),
        ("nobody answered in time", 504, vec![], json!("upstream request timeout")),
        ("a status of none", 101, vec![], json!({})),
        ("another status of none", 600, vec![], json!({})),
    ] {
        for host in HOSTS {
            let mut world = World::new(&config([]), host);
            let step = world.begin(login(&[]));
            let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            let reply = answered(world.answer(step, &service_says(status, &fields, &body)));
            assert_eq!(code(&reply), "503 login_unavailable", "{case}");
            let log = logged(&mut world.gateway);
            assert!(log.contains("login_failed"), "{case}: {log}");
            assert!(!log.contains(payload) && !log.contains(reference), "{case}: {log}");
        }
    }
    for (case, body) in [
        ("cut off", format!(r#"{{"access_token":"{reference}""#)),
        ("a member twice", format!(r#"{{"access_token":"x","access_token":"{reference}"}}"#)),
        ("UTF-16", "{\0}\0".to_owned()),
        ("behind a BOM", format!("\u{feff}{{\"access_token\":\"{reference}\"}}")),
        ("guarded", format!(")]}}'\n{{\"access_token\":\"{reference}\"}}")),
    ] {
        for media_type in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/a+json",
            "text/plain",
            "application/javascript",
            "application/octet-stream",
        ] {
            if case == "UTF-16" && media_type.ends_with("javascript") {
                continue;
            }
            for status in [200, 400, 500] {
                let says = service_says(status, &[("content-type", media_type)], &body);
                let got = code(&logged_in(ENVOY, &says));
                assert_eq!(got, "503 login_unavailable", "{case}: {status} {media_type}");
            }
        }
    }
}

#[test]
fn a_token_that_is_spread_over_cookies_is_found() {
    let token = alice();
    let by_part: Vec<_> = token.split('.').collect();
    let by_length: Vec<_> = token
        .as_bytes()
        .chunks(token.len() / 3 + 1)
        .map(|it| str::from_utf8(it).unwrap())
        .collect();
    for parts in [by_part, by_length] {
        let cookies: Vec<_> =
            parts.iter().enumerate().map(|(n, part)| format!("c{n}={part}; Path=/")).collect();
        let fields: Vec<_> = cookies.iter().map(|cookie| ("set-cookie", cookie.as_str())).collect();
        let reply = logged_in(ENVOY, &service_says(302, &fields, ""));
        assert_eq!(code(&reply), "503 login_unavailable", "{parts:?}");
    }
}

#[test]
fn one_token_sealed_twice_is_two_texts() {
    let mut world = World::new(&config([]), ENVOY);
    let says = service_says(200, &[JSON], &json!({"access_token": alice()}).to_string());
    let mut given = || {
        let step = world.begin(login(&[]));
        let reply = answered(world.answer(step, &says));
        String::from_utf8(reply.body).unwrap()
    };
    assert_ne!(given(), given(), "nobody sees that they are the same");
}

#[test]
fn json_by_any_name_is_sealed() {
    let body = json!({"access_token": "opaque-reference"}).to_string();
    for fields in
        [&[][..], &[("content-type", "text/plain")], &[("content-type", "text/javascript")]]
    {
        let reply = logged_in(ENVOY, &service_says(200, fields, &body));
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(opened(body["access_token"].as_str().unwrap()), "opaque-reference");
    }
}

#[test]
fn a_second_cookie_needs_a_host_that_can_send_it() {
    let token = format!("shop_token={}; Path=/", alice());
    let says = service_says(200, &[("set-cookie", &token), ("set-cookie", "theme=dark")], "");
    let reply = logged_in(ENVOY, &says);
    let cookies = reply.headers.iter().filter(|(name, _)| name == "set-cookie");
    assert_eq!(cookies.count(), 2);
    assert_eq!(code(&logged_in(KONG, &says)), "503 login_unavailable");
}

#[test]
fn a_service_that_fails_is_503() {
    for host in HOSTS {
        let reply = logged_in(host, &failed());
        assert_eq!(code(&reply), "503 login_unavailable");
        assert_eq!(reply_field(&reply, "retry-after"), Some("1"));
    }
    let mut world = World::new(&config([]), ENVOY);
    for _ in 0..1000 {
        awaits(world.begin(login(&[])));
    }
    assert_eq!(denied(world.begin(login(&[]))), denial(503, "login_unavailable"), "overload");
}

#[test]
fn what_the_service_gets_to_see() {
    let token = alice();
    let fields = [
        (":path", "/login?next=%2Fhome"),
        ("authorization", "Basic d2ViOnNlY3JldA=="),
        ("cookie", &format!("csrf=1; shop_token={token}; theme=dark")),
        ("accept", "text/html"),
        ("accept", "application/json"),
        ("Accept-Language", "nl"),
        ("content-encoding", "gzip"),
        ("user-agent", "test"),
        ("origin", "https://shop.example"),
        ("x-request-id", "9c3f"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("accept-encoding", "gzip"),
        ("referer", "https://shop.example/a?access_token=opaque-reference-1&x=1"),
        ("x-identity-token", "forged"),
        ("x-consumer-id", "forged"),
        ("x-anything", "else"),
    ];
    for host in HOSTS {
        let mut world = World::new(&config([]), host);
        let head = head(&[&fields[..], &[(":method", "GET")]].concat());
        let (sent, _) = awaits(world.begin(head));
        assert_eq!(
            (sent.callout.method, sent.callout.path.as_str()),
            ("GET", "/login?next=%2Fhome")
        );
        assert_eq!(sent.callout.service.name, "auth");
        assert!(sent.callout.body.is_none() && sent.callout.reads == ReplyFields::All);
        let mut names: Vec<_> =
            sent.callout.headers.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let mut expected = vec![
            "accept",
            "accept-encoding",
            "accept-language",
            "authorization",
            "content-encoding",
            "cookie",
            "origin",
            "referer",
            "user-agent",
        ];
        if host.writes_forwarded {
            expected.splice(9..9, ["x-forwarded-for", "x-forwarded-proto"]);
        }
        assert_eq!(names, expected);
        assert!(sent.callout.head().contains(&("x-request-id", "9c3f")));
        for (name, value) in [
            ("accept", "text/html, application/json"),
            ("accept-encoding", "identity"),
            ("content-encoding", "gzip"),
            ("referer", "https://shop.example/a?x=1"),
            ("cookie", "csrf=1; theme=dark"),
            ("authorization", "Basic d2ViOnNlY3JldA=="),
        ] {
            assert_eq!(sent_field(&sent, name).as_deref(), Some(value));
        }
    }
    let mut world = World::new(&config([]), ENVOY);
    let bearer = format!("Bearer {token}");
    let (sent, _) = awaits(world.begin(login(&[("authorization", &bearer), ("cookie", "a=b")])));
    assert_eq!(sent_field(&sent, "authorization"), None, "the public token goes nowhere");
    assert_eq!(sent_field(&sent, "cookie").as_deref(), Some("a=b"));
    let shown = format!("{sent:?}");
    assert!(!shown.contains("a=b"), "{shown}");
}

#[test]
fn a_body_is_waited_for() {
    let body = r#"{"username":"alice","password":"wonderland"}"#;
    let length = body.len().to_string();
    for host in HOSTS {
        let mut world = World::new(&config([]), host);
        let fields = [
            (":method", "POST"),
            (":path", "/login"),
            ("content-length", &length),
            ("content-type", "application/json"),
            ("x-consumer-id", "forged"),
            ("x-request-id", &"a".repeat(70)),
        ];
        let Step::Receive(submission) = world.begin(head(&fields)) else {
            panic!("no body wanted")
        };
        assert_eq!(submission.bytes, body.len());
        assert!(submission.sanitized.clear.iter().eq(["x-consumer-id"]));
        let now = world.now();
        let step = world.gateway.submit(submission, Some(body.into()), now);
        let (sent, waiting) = awaits(step);
        assert_eq!((sent.callout.method, sent.callout.path.as_str()), ("POST", "/login"));
        assert_eq!(sent.callout.body.as_ref().unwrap().expose(), body.as_bytes());
        assert_eq!(sent_field(&sent, "content-type").as_deref(), Some("application/json"));
        // Of any length in the head of the request.
        let id = "a".repeat(64);
        assert_eq!(sent.callout.request_id.as_deref(), Some(&*id));
        assert!(!format!("{sent:?}").contains("wonder"), "the password is a secret");
        let says = service_says(200, &[JSON], &json!({"access_token": alice()}).to_string());
        let reply = answered(world.complete(sent.id, waiting, &says));
        let reply: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(opened(reply["access_token"].as_str().unwrap()), alice());

        let Step::Receive(submission) = world.begin(head(&fields)) else {
            panic!("no body wanted")
        };
        let step = world.gateway.submit(submission, None, now);
        assert_eq!(answered(step).status, 413, "the host cannot read it");

        let Step::Receive(submission) = world.begin(head(&fields)) else {
            panic!("no body wanted")
        };
        let (sent, _) = awaits(world.gateway.submit(submission, Some(body.into()), now));
        world.gateway.take_log();
        world.gateway.complete(sent.id, &failed(), now).unwrap();
        let log: Vec<_> = world.gateway.take_log().iter().map(|event| event.json()).collect();
        let [line] = log.as_slice() else { panic!("{log:?}") };
        assert_eq!((&line["event"], &line["request_id"]), (&json!("login_failed"), &json!(id)));
    }
}

#[test]
fn bodies_of_no_length_and_methods_that_log_nobody_in() {
    for (case, fields, expected) in [
        ("no length", &[(":method", "POST")][..], 411),
        ("chunked", &[(":method", "POST"), ("transfer-encoding", "chunked")], 411),
        ("a chunked GET", &[(":method", "GET"), ("transfer-encoding", "chunked")], 411),
        ("no number", &[(":method", "POST"), ("content-length", "x")], 411),
        ("negative", &[(":method", "POST"), ("content-length", "-1")], 411),
        ("too long", &[(":method", "POST"), ("content-length", "65537")], 413),
        ("HEAD", &[(":method", "HEAD")], 405),
        ("OPTIONS", &[(":method", "OPTIONS")], 405),
        ("a method of nobody", &[(":method", "BREW")], 405),
    ] {
        let any_method =
            config([("/sealed_tokens/logins/0/match", json!({"path_prefix": "/login"}))]);
        let mut world = World::new(&any_method, ENVOY);
        let step = world.begin(head(&[&[(":path", "/login")], fields].concat()));
        assert_eq!(answered(step).status, expected, "{case}");
    }
    let mut world = World::new(&config([]), ENVOY);
    let empty = [(":path", "/login"), (":method", "POST"), ("content-length", "0")];
    let (sent, _) = awaits(world.begin(head(&empty)));
    assert!(sent.callout.body.is_none());
}

#[test]
fn only_logins_are_logins() {
    let mut world = World::new(&config([]), ENVOY);
    for (method, path, expected) in [
        ("PUT", "/login", "token_missing"),
        ("GET", "/login/", "token_missing"),
        ("GET", "/logins", "token_missing"),
        ("GET", "//login", "path_ambiguous"),
        ("GET", "/x/..%2flogin", "path_ambiguous"),
        ("GET", "/login;x", "path_ambiguous"),
    ] {
        let (_, code) = denied(world.begin(head(&[(":method", method), (":path", path)])));
        assert_eq!(code, expected, "{method} {path}");
    }
    awaits(world.begin(head(&[(":path", "/%6Cogin?x")])));
    let preflight = [
        (":method", "OPTIONS"),
        (":path", "/login"),
        ("origin", "https://shop.example"),
        ("access-control-request-method", "POST"),
    ];
    forwarded(world.begin(head(&preflight)));
}

#[test]
fn a_client_that_sends_a_forged_header_is_treated_as_anywhere() {
    let twice = [("x-consumer-id", "1"), ("x-consumer-id", "2")];
    let mut world = World::new(&config([]), KONG);
    assert_eq!(denied(world.begin(login(&twice))), denial(400, "header_repeated"));
}

#[test]
fn sealed_tokens_that_cannot_be_opened() {
    let mut world = World::new(&config([]), ENVOY);
    let token = alice();
    let good = sealed(&token);
    let (start, end) = good.split_at(good.len() / 2);
    let flipped = if end.starts_with('A') { 'B' } else { 'A' };
    for (case, text) in [
        ("another key", sealed_with(NEXT_KEY, &token)),
        ("cut", start.to_owned()),
        ("changed", format!("{start}{flipped}{}", end.chars().skip(1).collect::<String>())),
        ("the prefix alone", "gps_".to_owned()),
        ("no base64url", "gps_!!".replace('!', "+")),
        ("a JWT behind it", format!("gps_{token}")),
    ] {
        assert_eq!(world.denied(&text), denial(401, "token_unsealable"), "{case}");
    }
    let log = logged(&mut world.gateway);
    assert!(!log.contains("gps_") && log.contains("token_unsealable"), "{log}");
    forwarded(world.get(&good));
    let long = format!("gps_{}", "A".repeat(8192));
    assert_eq!(world.denied(&long), denial(401, "token_too_large"));
}

#[test]
fn what_is_inside_is_checked_like_any_token() {
    let mut world = World::new(&config([]), ENVOY);
    for (case, inside, expected) in [
        ("over", token(json!({"exp": START - 61})), "token_expired"),
        ("for others", token(json!({"aud": "bank"})), "audience_mismatch"),
        ("forged", alice().replace('.', ".e30"), "token_malformed"),
        ("no JWT", "opaque".to_owned(), "token_malformed"),
        ("another issuer's", token(json!({"iss": "https://evil.example"})), "issuer_unknown"),
        ("no ASCII", "\u{e9}\u{e9}.\u{e9}.x".to_owned(), "token_malformed"),
    ] {
        let (_, code) = world.denied(&sealed(&inside));
        assert_eq!(code, expected, "{case}");
    }
    let text = sealed(&alice());
    forwarded(world.get(&text));
    world.pass(3600 + 61);
    assert_eq!(world.denied(&text), denial(401, "token_expired"), "cached or not");
}

#[test]
fn a_token_is_found_again_by_its_sealed_form() {
    for entries in [0, 10] {
        let limits = json!({"token_cache_entries": entries});
        let mut world = World::new(&config([("/limits", limits)]), ENVOY);
        let text = sealed(&alice());
        let jti = |world: &mut World| {
            let edits = world.forwarded(&text);
            world.identity(&edits)["jti"].clone()
        };
        let (first, second) = (jti(&mut world), jti(&mut world));
        assert_eq!(first == second, entries > 0, "one identity as long as it is remembered");
    }
}

#[test]
fn without_sealing_it_is_a_token_as_any() {
    let mut world = World::new(&local([]), ENVOY);
    let text = sealed(&alice());
    assert_eq!(world.denied(&text), denial(401, "token_malformed"));
    let step = world.begin(login(&[]));
    assert_eq!(denied(step), denial(401, "token_missing"));
    let mut introspected = local([(
        "/providers/shop/introspection",
        json!({"service": "auth", "path": "/i", "client_id": "g", "client_secret": "s"}),
    )]);
    let mut world = World::new(&introspected, ENVOY);
    let (sent, _) = awaits(world.get(&text));
    let form = String::from_utf8(sent.callout.body.unwrap().expose().clone()).unwrap();
    assert_eq!(form, format!("token={text}"));
    // With it, what is inside is asked about.
    introspected["sealed_tokens"] = json!({"keys": [SEAL_KEY]});
    let mut world = World::new(&introspected, ENVOY);
    let reference = sealed("opaque-reference");
    let (sent, waiting) = awaits(world.get(&reference));
    let form = String::from_utf8(sent.callout.body.as_ref().unwrap().expose().clone()).unwrap();
    assert_eq!(form, "token=opaque-reference");
    let active = claims(json!({"active": true}));
    let edits = forwarded(world.complete(sent.id, waiting, &ok(&active)));
    assert_eq!(world.identity(&edits)["sub"], "alice");
    forwarded(world.get(&reference));
    forwarded(world.get(&text));
    assert_eq!(world.denied("gps_AAAA"), denial(401, "token_unsealable"), "and nobody is asked");
}

#[test]
fn the_user_service_gets_the_token_itself() {
    let mut config = config([]);
    config["user_info"] = json!({"service": "users", "path": "/me", "forward_token": true,
        "cache": {"ttl_seconds": 10}});
    let mut world = World::new(&config, ENVOY);
    let text = sealed(&alice());
    for _ in 0..2 {
        let (sent, waiting) = awaits(world.get(&text));
        let expected = format!("Bearer {}", alice());
        assert_eq!(sent_field(&sent, "authorization"), Some(expected), "also when it is cached");
        forwarded(world.complete(sent.id, waiting, &ok(&json!({"sub": "alice"}))));
        world.pass(11);
    }
}

#[test]
fn a_revoked_token_is_revoked_in_every_form() {
    let mut config = config([]);
    config["revocation"] = json!({"endpoint": {"requires": {"scopes_all": ["revoke"]}}});
    let mut world = World::new(&config, ENVOY);
    let text = sealed(&alice());
    forwarded(world.get(&text));
    let admin = token(json!({"sub": "root", "scope": "revoke"}));
    let body = br#"{"entries":[{"sub":"alice"}]}"#;
    let request = head(&[
        (":method", "POST"),
        (":path", "/.well-known/gatepass/revocations"),
        ("content-length", &body.len().to_string()),
        ("authorization", &format!("Bearer {}", sealed(&admin))),
    ]);
    let Step::Receive(submission) = world.begin(request) else { panic!("no body wanted") };
    let now = world.now();
    assert_eq!(answered(world.gateway.submit(submission, Some(body.to_vec()), now)).status, 204);
    for token in [text, sealed_with(SEAL_KEY, &token(json!({"jti": "2"}))), alice()] {
        assert_eq!(world.denied(&token), denial(401, "token_revoked"));
    }
}

#[test]
fn keys_are_changed_without_a_client_noticing() {
    let both = config([("/sealed_tokens/keys", json!([NEXT_KEY, SEAL_KEY]))]);
    let mut world = World::new(&both, ENVOY);
    forwarded(world.get(&sealed(&alice())));
    let step = world.begin(login(&[]));
    let says = service_says(200, &[JSON], &json!({"access_token": alice()}).to_string());
    let reply: Value = serde_json::from_slice(&answered(world.answer(step, &says)).body).unwrap();
    let new = reply["access_token"].as_str().unwrap().to_owned();
    let mut world = World::new(&config([("/sealed_tokens/keys", json!([NEXT_KEY]))]), ENVOY);
    forwarded(world.get(&new));
    assert_eq!(world.denied(&sealed(&alice())), denial(401, "token_unsealable"));
}

#[test]
fn shadow_mode_lets_no_login_go_by_unsealed() {
    let mut world = World::new(&config([("/mode", json!("shadow"))]), ENVOY);
    for (method, path) in [
        ("GET", "//login"),
        ("GET", "/login;x"),
        ("GET", "/./login"),
        ("GET", "/x/../login"),
        ("GET", "/login%2F"),
        ("GET", "/x/%252e%252e/login"),
        ("get", "/login"),
        ("Post", "/login"),
    ] {
        let (status, _) = denied(world.begin(head(&[(":method", method), (":path", path)])));
        assert_eq!(status, 400, "{method} {path}");
    }
    let upgrade = [(":method", "OPTIONS"), (":path", "/login"), ("upgrade", "websocket")];
    assert_eq!(denied(world.begin(head(&upgrade))), denial(400, "method_ambiguous"));
    forwarded(world.begin(head(&[(":path", "/other")])));
    let step = world.begin(login(&[]));
    assert_eq!(code(&answered(world.answer(step, &failed()))), "503 login_unavailable");
    let step = world.begin(login(&[]));
    let says = service_says(200, &[JSON], &json!({"access_token": alice()}).to_string());
    let reply: Value = serde_json::from_slice(&answered(world.answer(step, &says)).body).unwrap();
    forwarded(world.get(reply["access_token"].as_str().unwrap()));
}

#[test]
fn ambiguous_paths_that_are_allowed_are_no_logins() {
    let limits = json!({"allow_ambiguous_paths": true});
    let mut world = World::new(&config([("/limits", limits)]), ENVOY);
    for (path, expected) in [
        ("/projects/a%2Fb", "token_missing"),
        ("/login%2Fx", "path_ambiguous"),
        ("//login", "path_ambiguous"),
        ("/x/../login", "path_ambiguous"),
    ] {
        let (_, code) = denied(world.begin(head(&[(":path", path)])));
        assert_eq!(code, expected, "{path}");
    }
}

#[test]
fn any_bytes_are_refused_and_break_nothing() {
    let mut world = World::new(&config([]), ENVOY);
    let mut random = Random(7);
    let good = sealed(&alice()).into_bytes();
    for _ in 0..2000 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(3) {
            let position = 4 + random.below(bytes.len() - 4);
            match random.below(3) {
                0 => bytes[position] = random.bytes(1)[0] & 0x7F,
                1 => bytes.truncate(position),
                _ => bytes.insert(position, b'A'),
            }
            if bytes.len() < 6 {
                bytes.extend(b"AAAA");
            }
        }
        if bytes != good {
            let step = world.begin(RequestHead::new([
                (":path".to_owned(), b"/".to_vec()),
                ("authorization".to_owned(), [b"Bearer ", &bytes[..]].concat()),
            ]));
            let (status, _) = denied(step);
            assert!(status == 401 || status == 400, "{status}");
        }
    }
}
