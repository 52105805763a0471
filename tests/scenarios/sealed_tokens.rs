//! Tokens that the client holds only sealed.

use serde_json::{Value, json};

use crate::host::{Head, Host, Reply, Request, each_host};
use crate::shop::{
    self, ask, assert_denied, assert_denied_in_silence, bearer, identity, is_guarded, token,
    user_reply,
};

const KEY: &str = "c2NlbmFyaW8tc2VhbC1rZXktMDEyMzQ1Njc4OTAxMjM=";
const CREDENTIALS: &str = r#"{"username":"alice","password":"wonderland-0123456789"}"#;

pub fn open(host: &Host) {
    host.env("SCENARIO_SEAL_KEY", KEY);
    let login = json!({
        "match": {"path": "/login", "methods": ["GET", "POST"]}, "service": "auth",
        "json": ["/access_token"], "cookies": ["shop_token"],
    });
    let sealed = json!({"keys": [{"env": "SCENARIO_SEAL_KEY"}], "logins": [login]});
    let sources = json!({
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "from_cookies": ["shop_token"],
    });
    shop::open(host, json!({"sealed_tokens": sealed, "token": sources}));
}

fn post() -> Head {
    Head::get("/login").post(CREDENTIALS).header("content-type", "application/json")
}

fn issued(token: &str) -> Reply {
    Reply::ok(json!({"access_token": token, "token_type": "Bearer"}).to_string())
}

/// What the client of a login holds then.
#[track_caller]
fn given(request: &Request) -> String {
    let reply = request.reply();
    assert_eq!(reply.status, 200, "{}", reply.text());
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    let given = body["access_token"].as_str().unwrap().to_owned();
    assert!(given.starts_with("gps_"), "{given}");
    given
}

each_host!(the_client_holds_a_sealed_token_and_the_upstream_gets_the_identity, as built too, |host| {
    open(host);
    let request = host.send(post());
    let callout = request.callout();
    assert_eq!(callout.path(), "/login");
    assert_eq!(callout.header(":method").as_deref(), Some("POST"));
    assert_eq!(callout.header(":authority").as_deref(), Some("auth.internal"));
    assert_eq!(callout.header("content-type").as_deref(), Some("application/json"));
    assert_eq!(callout.header("accept-encoding").as_deref(), Some("identity"));
    assert_eq!(callout.body, CREDENTIALS.as_bytes());
    callout.answer(issued(&token("alice")));
    let sealed = given(&request);
    for part in token("alice").split('.') {
        assert!(!request.reply().text().contains(part), "{part}");
    }
    let request = ask(host, &sealed);
    request.answer(user_reply("alice"));
    assert_eq!(identity(host, &request)["sub"], "alice");
    let authorization = request.upstream_headers("authorization").concat();
    assert_eq!(authorization, "", "the sealed token goes no further");
    assert!(ask(host, &sealed).is_forwarded());
});

each_host!(a_login_by_redirect_and_cookie, |host| {
    open(host);
    let head = Head::get("/login?code=x1").headers([("accept", "text/html"), ("cookie", "csrf=1")]);
    let request = host.send(head);
    let callout = request.callout();
    assert_eq!(callout.path(), "/login?code=x1");
    assert_eq!(callout.header("accept").as_deref(), Some("text/html"));
    assert_eq!(callout.header("cookie").as_deref(), Some("csrf=1"));
    let cookie = format!("shop_token={}; Path=/; HttpOnly", token("alice"));
    callout.answer(Reply::status(302).header("Location", "/home").header("Set-Cookie", &cookie));
    let reply = request.reply();
    assert_eq!((reply.status, reply.header("location").as_deref()), (302, Some("/home")));
    let cookie = reply.header("set-cookie").unwrap();
    let sealed = cookie.strip_suffix("; Path=/; HttpOnly").unwrap();
    assert!(sealed.starts_with("shop_token=gps_"), "{sealed}");
    let request = host.request([("cookie", &format!("theme=dark; {sealed}"))]);
    request.answer(user_reply("alice"));
    assert_eq!(identity(host, &request)["sub"], "alice");
    assert_eq!(request.upstream_headers("cookie"), ["theme=dark"]);
});

each_host!(an_upstream_sees_nothing_of_a_login, |host| {
    open(host);
    let forged = [("x-consumer-username", "root"), ("x-identity-token", "forged")];
    let request = host.send(post().header("authorization", &bearer("bob")).headers(forged));
    assert!(is_guarded(host, &request));
    for (name, value) in request.headers_passed().expect("or the body would not come") {
        let is_ours = name.starts_with("x-") || name.eq_ignore_ascii_case("authorization");
        assert!(!is_ours || value.is_empty(), "{name}: {value}");
    }
    let callout = request.callout();
    for name in ["authorization", "x-consumer-username", "x-identity-token"] {
        assert_eq!(callout.header(name), None);
    }
    callout.answer(issued(&token("alice")));
    given(&request);
    let get = host.send(Head::get("/login").headers(forged));
    assert!(is_guarded(host, &get));
    assert_eq!(get.headers_passed(), None);
    get.answer(Reply::status(401));
    assert_eq!(get.status(), 401);
});

// Its body may be there, and the login's service asked, when the upstream answers.
each_host!(an_upstream_that_answers_a_login_is_told_apart_in_the_log, by proxy_wasm, |host| {
    open(host);
    if host.is_kong() {
        return;
    }
    let (reading, waiting) = (host.send(post().by_hand()), host.send(post()));
    let _ = waiting.callout();
    for request in [reading, waiting] {
        assert!(!request.respond(200, "via_upstream"));
        assert_denied(&request, 503, "configuration_invalid");
        shop::assert_not_awaited(host, "POST", "/login");
    }
});

each_host!(more_than_one_cookie, as built too, |host| {
    open(host);
    let request = host.send(Head::get("/login"));
    let cookie = format!("shop_token={}", token("alice"));
    let reply = Reply::status(200).header("set-cookie", &cookie).header("set-cookie", "theme=dark");
    request.answer(reply);
    if host.is_kong() {
        assert_denied(&request, 503, "login_unavailable");
        assert!(host.logged("more than one cookie"));
    } else {
        let headers = request.reply().headers;
        let cookies = headers.iter().filter(|(name, _)| name == "set-cookie");
        assert_eq!(cookies.count(), 2);
    }
});

each_host!(a_reply_of_more_fields_than_the_host_can_list, |host| {
    open(host);
    let with = |fields: usize| {
        let name = |number| format!("x-field-{number}");
        let reply = issued(&token("alice"));
        (0..fields).fold(reply, |reply, number| reply.header(&name(number), "1"))
    };
    let request = host.send(post());
    request.answer(with(60));
    given(&request);
    for fields in [100, 300] {
        let request = host.send(post());
        request.answer(with(fields));
        if host.is_kong() {
            assert_denied(&request, 503, "login_unavailable");
        } else {
            given(&request);
        }
    }
    assert!(host.is_kong() == host.logged("90 header fields"));
});

each_host!(a_reply_may_hold_any_bytes, as built too, |host| {
    open(host);
    let request = host.send(Head::get("/login"));
    request.answer(Reply::status(200).header("content-type", "text/html").body(b"caf\xe9\0\xff"));
    let body = request.reply().body;
    assert!(body.starts_with(b"caf\xe9\0\xff"), "{body:?}");
    let request = host.send(Head::get("/login"));
    request.answer(Reply::status(200).raw_header("x-name", b"caf\xe9"));
    assert_denied(&request, 503, "login_unavailable");
    let request = host.send(Head::get("/login"));
    request.answer(Reply::status(200).header("x-name", "café"));
    assert_eq!(request.reply().header("x-name").as_deref(), Some("café"));
});

each_host!(a_reply_in_which_a_token_is_left, |host| {
    open(host);
    let request = host.send(post());
    request.answer(issued(&token("alice")).header("x-token", &token("alice")));
    assert_denied(&request, 503, "login_unavailable");
    assert!(host.logged(r#""event":"login_failed""#));
    assert!(host.logged("a token is left in the header"));
});

each_host!(a_service_that_fails, |host| {
    open(host);
    for reply in [Reply::failed(), Reply::without_status()] {
        let request = host.send(post());
        request.answer(reply);
        assert_denied_in_silence(host, &request, 503, "login_unavailable");
    }
    let request = host.send(post());
    request.answer(issued(&"x".repeat(5000)));
    assert_denied(&request, 503, "login_unavailable");
    let silent = host.send(post());
    host.advance(1100);
    assert_denied_in_silence(host, &silent, 503, "login_unavailable");
    let wrong = host.send(post());
    wrong.answer(Reply::status(401).header("www-authenticate", "Basic realm=\"shop\""));
    assert_eq!(wrong.status(), 401, "its own refusals pass");
});

each_host!(clients_that_leave_leave_nothing, |host| {
    open(host);
    let request = host.send(post());
    assert!(request.is_paused());
    request.reset();
    host.send(Head::get("/login")).reset();
    host.advance(5000);
    assert!(host.callouts().is_empty());
    let request = host.send(post());
    request.answer(issued(&token("alice")));
    given(&request);
});

each_host!(bodies_that_are_not_taken, |host| {
    open(host);
    assert_eq!(host.send(Head::get("/login").method("POST")).status(), 411);
    assert_eq!(host.send(Head::get("/login").post("x".repeat(5000))).status(), 413);
    let empty = host.send(Head::get("/login").post(""));
    empty.answer(Reply::status(400));
    assert_eq!(empty.status(), 400);
});

each_host!(a_changed_token_is_401, |host| {
    open(host);
    let request = host.send(post());
    request.answer(issued(&token("alice")));
    let sealed = given(&request);
    let last = sealed.len() - 1;
    for position in [4, 10, 60, last - 1] {
        let mut changed = sealed.clone().into_bytes();
        changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert_denied(&ask(host, &changed), 401, "token_unsealable");
    }
});

each_host!(a_sealed_token_is_good_on_every_plugin_with_the_key, |host| {
    open(host);
    let request = host.send(post());
    request.answer(issued(&token("alice")));
    let sealed = given(&request);
    let head = || Head::get("/").header("authorization", &format!("Bearer {sealed}"));
    let with_key = json!({"sealed_tokens": {"keys": [KEY]}});
    let other = host.add(shop::patched(host, with_key)).unwrap();
    let request = other.send(head());
    request.answer(user_reply("alice"));
    assert!(request.is_forwarded());
    let without = host.add(shop::patched(host, json!({}))).unwrap();
    assert_denied(&without.send(head()), 401, "token_malformed");
});
