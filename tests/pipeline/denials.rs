//! How a denial looks from outside.

use gatepass::callout::CalloutReply;
use gatepass::denial::{Code, Denial};
use gatepass::event::Trace;
use gatepass::host::HostCapabilities;
use gatepass::host::RequestId;
use gatepass::http::{LocalReply, RequestHead};
use gatepass::pipeline::Step;
use serde_json::{Value, json};

use crate::support::*;

fn every_denial(errors: &Value, extra: &[(&str, &str)]) -> Vec<(&'static str, LocalReply)> {
    every_denial_on(KONG, errors, extra)
}

/// Every code that a request can be denied with today, on a gateway with these
/// `errors`; `extra` fields are added to each request.
fn every_denial_on(
    host: HostCapabilities,
    errors: &Value,
    extra: &[(&str, &str)],
) -> Vec<(&'static str, LocalReply)> {
    let consumers = json!({"entries": [{"key": "web"}]});
    let rules = json!([
        {"match": {"path": "/scope"}, "requires": {"scopes_all": ["read", "write"]}},
        {"match": {"path": "/group"}, "requires": {"groups_any": ["staff"]}},
        {"match": {"path": "/claim"}, "requires": {"claims": {"role": ["admin"]}}},
        {"match": {"path": "/host", "hosts": ["a.example"]}, "bypass": true},
    ]);
    let base = [("/errors", errors.clone()), ("/rules", rules), ("/consumers", consumers)];
    let local = local(base.clone());
    let lifetime = {
        let mut config = local.clone();
        put(&mut config, "/providers/shop/max_lifetime_seconds", 60.into());
        config
    };
    let forbidden = {
        let mut config = local.clone();
        put(&mut config, "/identity_token/signing_keys/0/sign_from", (START + 1).into());
        config
    };
    let tenants = {
        let mut config = local.clone();
        put(&mut config, "/providers/shop/required_claims", json!({"tenant": ["acme"]}));
        config
    };
    let bound = |binding: Value| {
        let mut config = local.clone();
        put(&mut config, "/providers/shop/binding", binding);
        config
    };
    let (required, proved) =
        (bound(json!({"mtls": true, "required": true})), bound(json!({"dpop": {}})));
    let cookies = {
        let mut config = local.clone();
        put(&mut config, "/token", json!({"from_cookies": ["session"]}));
        config
    };
    let reference = {
        let mut config = local.clone();
        let asked = json!({
            "service": "auth", "path": "/introspect", "client_id": "gate", "client_secret": "s",
        });
        put(&mut config, "/providers/shop/introspection", asked);
        config
    };
    let (mut listed, mut endpoint, mut sealing) = (local.clone(), local.clone(), local.clone());
    put(&mut listed, "/revocation", json!({"feed": {"service": "auth", "path": "/revocations"}}));
    let requires = json!({"endpoint": {"requires": {"scopes_all": ["revoke"]}}});
    put(&mut endpoint, "/revocation", requires);
    let logins = json!([{
        "match": {"path": "/login", "methods": ["GET"]}, "service": "auth", "json": ["/token"],
    }]);
    put(&mut sealing, "/sealed_tokens", json!({"keys": [SEAL_KEY], "logins": logins}));
    let users = with_users(base.clone());
    let remote = remote(base);
    let none = json!({});
    let begin = |config: &Value, fields: &[(&str, &str)]| {
        let mut world = World::new(config, host);
        let mut fields = fields.to_vec();
        fields.extend(extra);
        (world.begin(head(&fields)), world)
    };
    let plain = |config: &Value, fields: &[(&str, &str)]| answered(begin(config, fields).0);
    let with = |config: &Value, path: &str, token: &str| {
        plain(config, &[(":path", path), ("authorization", &format!("Bearer {token}"))])
    };
    let deny = |changes: Value| with(&local, "/", &token(changes));
    let signed = |header: &[u8]| {
        let payload = claims(json!({})).to_string();
        with(&local, "/", &KEY_A.sign(header, payload.as_bytes()))
    };
    let waited_with = |config: &Value, token: &str, reply: &CalloutReply| {
        let bearer = format!("Bearer {token}");
        let (step, mut world) = begin(config, &[(":path", "/"), ("authorization", &bearer)]);
        answered(world.answer(step, reply))
    };
    let waited = |config: &Value, reply: &CalloutReply| waited_with(config, &alice(), reply);
    let entries = |body: &str| {
        let bearer = format!("Bearer {}", token(json!({"scope": "revoke"})));
        let (path, length) = ("/.well-known/gatepass/revocations", body.len().to_string());
        let fields = [
            (":path", path),
            (":method", "POST"),
            ("authorization", &bearer),
            ("content-length", &length),
        ];
        let (Step::Receive(submission), mut world) = begin(&endpoint, &fields) else {
            panic!("a body expected")
        };
        let now = world.now();
        answered(world.gateway.submit(submission, Some(body.into()), now))
    };
    let login = |reply: &CalloutReply| {
        let (step, mut world) = begin(&sealing, &[(":path", "/login"), (":method", "GET")]);
        answered(world.answer(step, reply))
    };
    let of_another_key =
        seal_keys("__________________________________________8").seal(b"a.b.c", b"").unwrap();
    let alice_is_revoked = ok(&json!({"cursor": "1", "entries": [{"sub": "alice"}]}));
    let refused = |denial: &Denial| {
        let mut world = World::new(&local, host);
        let (request, head) = (RequestId::default(), RequestHead::default());
        answered(world.gateway.deny_unasked(request, &head, denial.clone(), Trace::default()))
    };
    let twice = [("x-consumer-id", "1"), ("x-consumer-id", "2")];
    let tokens = [("authorization", "Bearer a,Bearer b")];
    let exp = token(json!({"exp": START - 60}));
    let without_proof = format!("DPoP {}", token(json!({"cnf": {"jkt": "A".repeat(43)}})));
    let forged = KEY_B.token("a", &claims(none.clone()));
    let denials = vec![
        ("header_repeated", plain(&local, &twice)),
        ("headers_too_many", refused(&Denial::HeadersTooMany { limit: 90 })),
        ("method_ambiguous", plain(&local, &[(":method", "get")])),
        ("path_ambiguous", plain(&local, &[(":path", "/a//b")])),
        ("token_missing", plain(&local, &[])),
        ("token_multiple", plain(&local, &tokens)),
        ("token_malformed", with(&local, "/", "opaque")),
        ("token_too_large", with(&local, "/", &"a".repeat(8193))),
        ("critical_header", signed(br#"{"alg":"EdDSA","crit":["x"]}"#)),
        ("algorithm_not_allowed", signed(br#"{"alg":"none"}"#)),
        ("token_type_mismatch", signed(br#"{"alg":"EdDSA","typ":"dpop+jwt"}"#)),
        ("key_unknown", signed(br#"{"alg":"EdDSA","kid":"z"}"#)),
        ("signature_invalid", with(&local, "/", &forged)),
        ("issuer_unknown", deny(json!({"iss": "https://x"}))),
        ("audience_mismatch", deny(json!({"aud": "x"}))),
        ("token_expired", with(&local, "/", &exp)),
        ("token_not_yet_valid", deny(json!({"nbf": START + 61}))),
        ("lifetime_exceeded", with(&lifetime, "/", &alice())),
        ("claim_missing", deny(json!({"sub": null}))),
        ("claim_mismatch", with(&tenants, "/", &token(json!({"tenant": "x"})))),
        ("consumer_unknown", deny(json!({"azp": "x"}))),
        ("host_ambiguous", plain(&local, &[(":path", "/host"), (":authority", "a@b")])),
        ("origin_forbidden", plain(&cookies, &[(":method", "POST"), ("cookie", "session=a.b.c")])),
        ("insufficient_scope", with(&local, "/scope", &alice())),
        ("group_forbidden", with(&local, "/group", &alice())),
        ("claim_forbidden", with(&local, "/claim", &alice())),
        ("user_unknown", waited(&users, &reply(404, b""))),
        ("user_info_unavailable", waited(&users, &failed())),
        ("keys_unavailable", waited(&remote, &failed())),
        ("identity_unavailable", with(&forbidden, "/", &alice())),
        ("configuration_invalid", refused(&Denial::ConfigurationInvalid)),
        ("token_unsealable", with(&sealing, "/", &of_another_key)),
        ("token_inactive", waited_with(&reference, "opaque", &ok(&json!({"active": false})))),
        ("introspection_unavailable", waited_with(&reference, "opaque", &failed())),
        ("binding_mismatch", with(&required, "/", &alice())),
        ("dpop_invalid", plain(&proved, &[("authorization", &without_proof)])),
        ("token_revoked", waited(&listed, &alice_is_revoked)),
        ("revocation_unavailable", waited(&listed, &failed())),
        ("entries_invalid", entries("{}")),
        ("login_unavailable", login(&failed())),
    ];
    let mut codes: Vec<_> = denials.iter().map(|(code, _)| *code).collect();
    codes.sort_unstable();
    let mut all: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
    all.sort_unstable();
    assert_eq!(codes, all, "each code once");
    // RFC 6750 section 5.3, whatever the form.
    for (code, reply) in &denials {
        assert_eq!(reply_field(reply, "cache-control"), Some("no-store"), "{code}");
    }
    denials
}

/// Status and error of the challenge that a code must have (RFC 6750 section
/// 3.1); no challenge at all where there is nothing to challenge for.
fn expected(code: &str) -> (u16, Option<&'static str>) {
    match code {
        "header_repeated" | "method_ambiguous" | "path_ambiguous" | "host_ambiguous"
        | "token_multiple" | "entries_invalid" => (400, Some("invalid_request")),
        "headers_too_many" => (431, None),
        "token_missing" => (401, Some("")),
        "insufficient_scope" => (403, Some("insufficient_scope")),
        "group_forbidden" | "claim_forbidden" | "origin_forbidden" | "user_unknown" => (403, None),
        "user_info_unavailable"
        | "keys_unavailable"
        | "introspection_unavailable"
        | "revocation_unavailable"
        | "login_unavailable"
        | "identity_unavailable"
        | "configuration_invalid" => (503, None),
        // In the challenge of its own scheme, which is the second.
        "dpop_invalid" => (401, Some("")),
        _ => (401, Some("invalid_token")),
    }
}

// RFC 6750 section 3.1: "the resource server SHOULD NOT include an error code or other
// error information" (R39)
// RFC 9457 section 5: "when actually generating a problem -- however it is serialized
// -- the details given must also be scrutinized" (R40)
// RFC 9111 section 5.2.2.5: "a cache MUST NOT store any part of either the immediate
// request or the response" (R41)
#[test]
fn problems() {
    for (code, reply) in every_denial(&json!({"realm": "shop"}), &[]) {
        let (status, error) = expected(code);
        assert_eq!(reply.status, status, "{code}");
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body["code"], code);
        assert_eq!(body["status"], status, "{code}");
        for text in ["title", "detail"] {
            assert!(!body[text].as_str().unwrap().is_empty(), "{code}: {text}");
        }
        assert_eq!(body.as_object().unwrap().len(), 4, "{code}: nothing else");
        assert_eq!(reply_field(&reply, "content-type"), Some("application/problem+json"));
        assert_eq!(reply_field(&reply, "cache-control"), Some("no-store"), "{code}");
        assert_eq!(reply_field(&reply, "retry-after").is_some(), status == 503, "{code}");
        assert_eq!(reply_field(&reply, "grpc-status"), None, "{code}");
        let challenge = reply_field(&reply, "www-authenticate");
        match (challenge, error) {
            (None, None) => {}
            (Some(challenge), _) if code == "dpop_invalid" => {
                let start = "Bearer realm=\"shop\", DPoP error=\"invalid_dpop_proof\", ";
                assert!(challenge.starts_with(start), "{challenge}");
            }
            (Some(challenge), Some("")) => assert_eq!(challenge, "Bearer realm=\"shop\""),
            (Some(challenge), Some(error)) => {
                let start = format!("Bearer realm=\"shop\", error=\"{error}\", error_description=");
                assert!(challenge.starts_with(&start), "{code}: {challenge}");
                let scopes = challenge.ends_with(", scope=\"read write\"");
                assert_eq!(scopes, code == "insufficient_scope", "{code}: {challenge}");
            }
            other => panic!("{code}: {other:?}"),
        }
        let mut names: Vec<_> = reply.headers.iter().map(|(name, _)| name.as_ref()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), reply.headers.len(), "{code}: each header once");
    }
}

/// The texts of Kong's jwt plugin, and the same status and challenge.
#[test]
fn bodies_as_kong_writes_them() {
    let message = |text: &str| json!({ "message": text });
    for (code, reply) in every_denial(&json!({"format": "kong"}), &[]) {
        let expected_body = match code {
            "header_repeated" | "method_ambiguous" | "path_ambiguous" | "host_ambiguous" => {
                message("Bad request")
            }
            "headers_too_many" => message("Request header or cookie too large"),
            "token_missing" => message("Unauthorized"),
            "token_multiple" => message("Multiple tokens provided"),
            "token_malformed" | "token_too_large" | "critical_header" | "token_unsealable" => {
                message("Bad token; invalid JSON")
            }
            "algorithm_not_allowed" => message("Bad token; invalid alg"),
            "key_unknown" | "issuer_unknown" | "consumer_unknown" => {
                message("No credentials found for given 'iss'")
            }
            "signature_invalid" => message("Invalid signature"),
            "token_expired" => json!({"exp": "token expired"}),
            "token_not_yet_valid" => json!({"nbf": "token not valid yet"}),
            "lifetime_exceeded" => json!({"exp": "exceeds maximum allowed expiration"}),
            "claim_missing" => message("No mandatory 'sub' in claims"),
            "audience_mismatch"
            | "claim_mismatch"
            | "token_type_mismatch"
            | "token_inactive"
            | "binding_mismatch"
            | "dpop_invalid"
            | "token_revoked" => message("Bad token; invalid claims"),
            "entries_invalid" => message("\"entries\" is nothing, not a list"),
            "insufficient_scope" | "group_forbidden" | "claim_forbidden" | "origin_forbidden"
            | "user_unknown" => message("You cannot consume this service"),
            _ => message("An unexpected error occurred"),
        };
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(body, expected_body, "{code}");
        // Kong's plugin has 401 for everything about tokens.
        let status = if code == "token_multiple" { 401 } else { expected(code).0 };
        assert_eq!(reply.status, status, "{code}");
        let media_type = reply_field(&reply, "content-type").unwrap();
        assert!(media_type.starts_with("application/json"), "{code}");
        assert_eq!(reply_field(&reply, "cache-control"), Some("no-store"), "{code}");
    }
}

/// The HTTP status is the denial's own but for a gRPC call on a host that sends
/// it as it is.
#[test]
fn grpc_calls_get_a_grpc_status() {
    // These two are answered before the head is known, the third is Kong's alone.
    let unread = ["headers_too_many", "configuration_invalid", "header_repeated"];
    for (media_type, answered) in [
        ("application/grpc", "application/grpc"),
        ("application/grpc+proto", "application/grpc"),
        ("application/grpc-web", "application/grpc-web+proto"),
        ("application/grpc-web+proto", "application/grpc-web+proto"),
        ("application/grpc-web-text", "application/grpc-web-text+proto"),
        ("application/grpc-web-text+proto", "application/grpc-web-text+proto"),
    ] {
        for host in HOSTS {
            let denials = every_denial_on(host, &json!({}), &[("content-type", media_type)]);
            for (code, reply) in denials.into_iter().filter(|(code, _)| !unread.contains(code)) {
                let case = format!("{code}, {media_type}");
                let status = expected(code).0;
                let grpc_status = match status {
                    400 => "3",
                    401 => "16",
                    403 => "7",
                    503 => "14",
                    other => panic!("{case}: {other}"),
                };
                let is_plain = answered == "application/grpc" && host == KONG;
                assert_eq!(reply.status, if is_plain { 200 } else { status }, "{case}");
                assert_eq!(reply_field(&reply, "grpc-status"), Some(grpc_status), "{case}");
                assert_eq!(reply_field(&reply, "grpc-message"), Some(code), "{case}");
                assert_eq!(reply_field(&reply, "content-type"), Some(answered), "{case}");
                assert_eq!(reply.body, b"", "{case}");
            }
        }
    }
    let transcoded =
        [("content-type", "application/grpc"), ("x-envoy-original-method", "GET")].as_slice();
    for fields in [
        &[("content-type", "application/grpcx")][..],
        &[("content-type", "application/json")],
        &[("content-type", "text/application/grpc")],
        transcoded,
    ] {
        for (code, reply) in every_denial(&json!({}), fields) {
            assert_eq!(reply_field(&reply, "grpc-status"), None, "{code}, {fields:?}");
            assert!(!reply.body.is_empty(), "{code}, {fields:?}");
        }
    }
}

fn login() -> Value {
    json!({"login_redirect": {"to": "/login?app=1", "return_to_param": "back"}})
}

#[test]
fn a_person_without_a_valid_token_is_sent_to_log_in() {
    for (code, reply) in every_denial(&login(), &[("accept", "text/html,*/*;q=0.8")]) {
        // Logging in does not make a consumer.
        let is_sent = expected(code).0 == 401 && code != "consumer_unknown";
        let location = reply_field(&reply, "location");
        assert_eq!(reply.status == 302, is_sent, "{code}");
        assert_eq!(location.is_some(), is_sent, "{code}");
        if is_sent {
            assert!(location.unwrap().starts_with("/login?app=1&back=%2F"), "{code}");
            assert_eq!(reply_field(&reply, "cache-control"), Some("no-store"), "{code}");
            assert!(reply.body.is_empty(), "{code}");
        }
    }
    for (case, fields) in [
        ("a script", &[("accept", "application/json")][..]),
        ("no accept", &[]),
        ("a form", &[("accept", "text/html"), (":method", "POST")]),
        ("HEAD", &[("accept", "text/html"), (":method", "HEAD")]),
        ("a namesake of HTML", &[("accept", "text/html-template, */*")]),
        ("HTML is refused", &[("accept", "application/json, text/html;q=0.0")]),
        ("a script that takes HTML", &[("accept", "text/html"), ("sec-fetch-mode", "cors")]),
        ("a handshake", &[("upgrade", "websocket"), ("sec-fetch-mode", "websocket")]),
    ] {
        let mut world = World::new(&local([("/errors", login())]), ENVOY);
        let step = world.begin(head(fields));
        assert_eq!(denied(step), denial(401, "token_missing"), "{case}");
    }
    for kind in ["application/grpc", "application/grpc-web"] {
        let mut world = World::new(&local([("/errors", login())]), ENVOY);
        let fields = [("accept", "text/html"), ("content-type", kind)];
        let reply = answered(world.begin(head(&fields)));
        assert_eq!((reply.status, reply_field(&reply, "grpc-status")), (401, Some("16")), "{kind}");
    }
}

/// Where the login page itself needs a token, nobody is sent on and on.
#[test]
fn a_login_page_that_needs_a_token_is_denied_as_such() {
    for (case, to, host, path, is_sent) in [
        ("elsewhere", "/login?app=1", "shop.example", "/orders", true),
        ("the page", "/login?app=1", "shop.example", "/login", false),
        ("on its way", "/login", "shop.example", "/login?return_to=%2Flogin", false),
        ("encoded", "/login", "shop.example", "/%6Cogin", false),
        ("encoded itself", "/%6Cogin", "shop.example", "/login", false),
        ("another page", "/login", "shop.example", "/login/help", true),
        ("the whole host", "https://shop.example", "shop.example", "/", false),
        ("with a query", "https://shop.example?a=/b", "shop.example", "/", false),
        ("by its URL", "https://Shop.example/login", "shop.example:443", "/login?x=1", false),
        ("a port unsaid", "https://shop.example:8443/login", "shop.example", "/login", false),
        ("another port", "https://shop.example/login", "shop.example:8443", "/login", true),
        ("another host", "https://login.example/login", "shop.example", "/login", true),
    ] {
        let errors = json!({ "login_redirect": { "to": to } });
        let ended = format!("Bearer {}", token(json!({"exp": START - 61})));
        for token in [None, Some(("authorization", ended.as_str()))] {
            let mut fields = vec![(":path", path), (":authority", host), ("accept", "text/html")];
            fields.extend(token);
            let mut world = World::new(&local([("/errors", errors.clone())]), ENVOY);
            let reply = answered(world.begin(head(&fields)));
            assert_eq!(reply.status, if is_sent { 302 } else { 401 }, "{case}: {reply:?}");
        }
    }
}

#[test]
fn the_way_back_leads_nowhere_else() {
    for (path, back) in [
        ("/a/b?c=d&e=f", "%2Fa%2Fb%3Fc%3Dd%26e%3Df"),
        ("/", "%2F"),
        ("//evil.example", "%2F"),
        ("/\\evil.example", "%2F"),
        ("https://evil.example/", "%2F"),
        ("javascript:alert(1)", "%2F"),
        ("", "%2F"),
        ("/\t/evil.example", "%2F"),
        ("/a\r\nset-cookie: x=1", "%2F"),
        ("/./%2Fevil.example", "%2F"),
        ("/..//evil.example", "%2F"),
        ("/%5Cevil.example", "%2F"),
        ("/x&back=//evil.example#", "%2F"),
        ("/x&back=1", "%2Fx%26back%3D1"),
        ("/x?to=//evil.example\n", "%2Fx%3Fto%3D%2F%2Fevil.example%0A"),
    ] {
        let mut world = World::new(&local([("/errors", login())]), ENVOY);
        let reply = answered(world.begin(head(&[(":path", path), ("accept", "text/html")])));
        let expected = format!("/login?app=1&back={back}");
        assert_eq!(reply_field(&reply, "location"), Some(expected.as_str()), "{path}");
    }
}

/// Nothing of a token, a key or a reply is in what the client or the log gets.
// RFC 9457 section 5 (R71)
#[test]
fn denials_tell_no_secrets() {
    let secrets = ["opaque", "eyJ", "hunter2", "alice"];
    for (code, reply) in every_denial(&json!({}), &[("cookie", "hunter2")]) {
        let text = format!("{:?} {}", reply.headers, String::from_utf8_lossy(&reply.body));
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{code}: {text}");
    }
    let mut world = World::new(&with_users([]), ENVOY);
    // Who issued a token, and for whom, is no secret: that is told.
    for changes in
        [json!({"exp": "hunter2"}), json!({"sub": ["hunter2"]}), json!({"cnf": "hunter2"})]
    {
        world.denied(&token(changes));
    }
    let step = world.get(&alice());
    denied(world.answer(step, &ok(&json!({"sub": "hunter2"}))));
    let step = world.get(&alice());
    denied(world.answer(step, &reply(200, b"{\"sub\": hunter2")));
    let log = world.gateway.take_log();
    assert_eq!(log.len(), 7, "one line for a denial, one for a failure");
    for line in log {
        let text = line.to_string();
        assert!(serde_json::from_str::<Value>(&text).unwrap().is_object(), "{text}");
        assert!(!text.contains('\n'), "{text}");
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    }
}

/// A request id is whatever the client likes, the log has one line for it.
#[test]
fn a_line_of_the_log_is_one_line() {
    let long = "a".repeat(1000);
    for (case, id, expected) in [
        ("an id", "9c3f-1", "9c3f-1"),
        ("a line more", "1\r\n{\"event\":1}", "1??{\"event\":1}"),
        ("a line of Unicode", "1\u{85}2\u{2028}3\u{7f}", "1??2???3?"),
        ("escape codes", "\u{1b}[2J", "?[2J"),
        ("no end", long.as_str(), &long[..64]),
        ("a token", &format!("a/{};b", alice()), "a/[token];b"),
        ("a sealed token", &format!("id={}", sealed(&alice())), "id=[token]"),
        ("a token at the end", &format!("{}{}", &long[..60], alice()), &long[..60]),
    ] {
        let mut world = World::new(&local([]), ENVOY);
        denied(world.begin(head(&[("x-request-id", id)])));
        let log = world.gateway.take_log();
        let [line] = log.as_slice() else { panic!("{case}: {log:?}") };
        let line = line.to_string();
        assert!(!line.chars().any(char::is_control), "{case}: {line}");
        let line: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(line["request_id"], expected, "{case}");
    }
}
