//! Clients that hold a sealed token, and services that get the identity.

use std::net::Ipv4Addr;
use std::time::Duration;

use gatepass::sealing::{SealKey, SealKeys};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::gateway::{Gateway, Setup, until};
use crate::login_service::LoginService;
use crate::stack::door::Door;
use crate::wire::{Answer, Connection, Request, hold};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OLD_KEY: &str = "T2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQgb2xkIG9sZC4=";
const GONE_KEY: &str = "R29uZSBnb25lIGdvbmUgZ29uZSBnb25lIGdvbmUgZyE=";

const CREDENTIALS: &str = r#"{"username": "alice", "password": "wonderland"}"#;

const SOURCES: &str = "\
token: {from_headers: [{name: authorization, value_prefix: 'Bearer '}], from_cookies: [shop_token]}";

const SEALING: &str = "\
sealed_tokens:
  keys: [KEYS]
  logins:
  - match: {path_prefix: /login, methods: [GET, POST]}
    service: sealing
    json: [/access_token]
    cookies: [shop_token]
errors: {realm: shop}";

pub async fn start(service: &LoginService) -> Gateway {
    let gateway = Setup::bundled()
        .workers(1)
        .service("sealing", service.port)
        .replace_block("token: {", SOURCES)
        .replace_block("errors:", &SEALING.replace("KEYS", &format!("{KEY}, {OLD_KEY}")))
        .sealed_logins()
        .secret(KEY)
        .secret(OLD_KEY)
        .start_beside_others()
        .await;
    gateway.ready().await;
    gateway
}

fn log_in() -> Request {
    Request::post("/login", CREDENTIALS).with("content-type", "application/json")
}

fn given(answer: &Answer) -> String {
    assert_eq!(answer.status, 200, "{answer}");
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

fn assert_hides(answer: &Answer, token: &str) {
    let shown = answer.to_string();
    for part in token.split('.') {
        assert!(!shown.contains(part), "{part} in {shown}");
    }
}

fn keys(text: &str) -> SealKeys {
    SealKeys::new(vec![SealKey::parse(text).unwrap()]).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_holds_a_sealed_token_and_the_upstream_gets_the_identity() {
    let service = LoginService::start().await;
    let gateway = start(&service).await;
    let token = gateway.token("alice");
    service.issue(&token);
    let upstream = gateway.stat("cluster.upstream.upstream_rq_total").await;
    let forged = [("x-identity-token", "forged"), ("x-forwarded-for", "192.0.2.7")];
    let request = forged.iter().fold(log_in(), |request, (name, value)| request.with(name, value));
    let answer = gateway.send(request).await;
    let sealed = given(&answer);
    gateway.keep_secret(&sealed);
    assert!(sealed.starts_with("gps_"), "{sealed}");
    assert_hides(&answer, &token);
    assert_eq!(answer.json()["expires_in"], 3600);
    assert_eq!(answer.header("x-login"), Some("1"));
    for name in ["content-type", "content-length", "server", "date"] {
        let fields = answer.headers.iter().filter(|(other, _)| other == name);
        assert!(fields.count() <= 1, "{name} once: {answer}");
    }
    assert_eq!(answer.header("content-type"), Some("application/json"));

    let seen = service.seen();
    let [seen] = seen.as_slice() else { panic!("{} requests", seen.len()) };
    assert_eq!((seen.line.as_str(), seen.body.as_str()), ("POST /login", CREDENTIALS));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("accept-encoding"), Some("identity"));
    assert_eq!(seen.header("x-identity-token"), None);
    let client = seen.header("x-forwarded-for").unwrap();
    assert!(client.starts_with("192.0.2.7,"), "Envoy adds who the client is: {client}");

    for _ in 0..3 {
        let answer = gateway.get("/orders", &sealed).await;
        assert_eq!(answer.seen().identity()["sub"], "alice");
        assert!(!answer.to_string().contains(&sealed), "the upstream saw it: {answer}");
    }
    gateway.assert_serves("sealed tokens").await;
    let requests = gateway.stat("cluster.upstream.upstream_rq_total").await - upstream;
    assert_eq!(requests, 4, "the upstream sees no login");

    let wrong = Request::post("/login", "{}").with("content-type", "application/json");
    let answer = gateway.send(wrong).await;
    assert_eq!((answer.status, answer.json()), (401, json!({"error": "invalid_grant"})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_by_redirect_and_cookie() {
    let service = LoginService::start().await;
    let gateway = start(&service).await;
    let token = gateway.token("alice");
    service.issue(&token);
    let answer = gateway.send(Request::get("/login/callback?code=x1")).await;
    assert_eq!((answer.status, answer.header("location")), (302, Some("/home")), "{answer}");
    assert_hides(&answer, &token);
    let cookies: Vec<_> = answer.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
    let [(_, sealed), (_, theme)] = cookies.as_slice() else { panic!("{answer}") };
    assert_eq!(theme, "theme=dark; Path=/");
    let pair = sealed.strip_suffix("; Path=/; HttpOnly; SameSite=Lax").unwrap();
    assert!(pair.starts_with("shop_token=gps_"), "{pair}");
    gateway.keep_secret(pair.trim_start_matches("shop_token="));
    let request = Request::get("/orders").with("cookie", format!("theme=dark; {pair}"));
    let answer = gateway.send(request).await;
    assert_eq!(answer.seen().identity()["sub"], "alice");
    assert_eq!(answer.seen().values("cookie"), ["theme=dark"]);
    assert_eq!(service.seen()[0].line, "GET /login/callback?code=x1");
}

/// An upstream that answers as soon as it has a head, with a token.
async fn hasty() -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nunsealed!";
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, serving)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_upstream_answers_a_login_whose_body_is_on_its_way() {
    let service = LoginService::start().await;
    let (hasty, serving) = hasty().await;
    // No buffer filter holds back the head.
    let gateway = Setup::bundled()
        .workers(1)
        .service("sealing", service.port)
        .service("hasty", hasty)
        .replace_block("token: {", SOURCES)
        .replace_block("errors:", &SEALING.replace("KEYS", KEY))
        .replace_block(
            "- match: {path: /login}",
            "- {match: {prefix: /login}, route: {cluster: hasty}}",
        )
        .secret(KEY)
        .start_beside_others()
        .await;
    gateway.ready().await;
    service.issue(&gateway.token("alice"));
    let bytes = log_in().into_bytes();
    let (head, rest) = bytes.split_at(bytes.len() - 5);
    let mut connection = Connection::open(gateway.ports.listener);
    connection.write(head);
    sleep(Duration::from_millis(300)).await;
    if Door::chosen() == Door::Native {
        connection.write(rest);
        given(&connection.read_answer().unwrap());
    } else {
        let answer = connection.read_answer().unwrap();
        assert_eq!(answer.outcome(), "503 configuration_invalid", "{answer}");
        let line = r#""method":"POST","path":"/login""#;
        until("the line names it", || async { gateway.log().contains(line) }).await;
    }
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_changed_and_tokens_are_not() {
    let service = LoginService::start().await;
    let gateway = start(&service).await;
    let token = gateway.token("alice");
    service.issue(&token);
    let sealed = given(&gateway.send(log_in()).await);
    gateway.keep_secret(&sealed);
    assert_eq!(keys(KEY).open(sealed.as_bytes()).unwrap(), token.as_bytes(), "the first key seals");
    for (case, text, expected) in [
        ("issued here", sealed.clone(), "200"),
        ("by the old key", keys(OLD_KEY).seal(token.as_bytes(), b"1").unwrap(), "200"),
        (
            "by a key dropped",
            keys(GONE_KEY).seal(token.as_bytes(), b"1").unwrap(),
            "401 token_unsealable",
        ),
        (
            "a forged token",
            keys(KEY).seal(format!("{token}A").as_bytes(), b"1").unwrap(),
            "401 signature_invalid",
        ),
        ("cut", sealed.chars().take(100).collect(), "401 token_unsealable"),
    ] {
        let outcome = gateway.get("/orders", &text).await.outcome();
        assert_eq!(outcome, expected, "{case}");
    }
    for position in [4, 9, 20, 60, sealed.len() - 2] {
        let mut changed = sealed.clone().into_bytes();
        changed[position] = if changed[position] == b'x' { b'y' } else { b'x' };
        let changed = String::from_utf8(changed).unwrap();
        let outcome = gateway.get("/orders", &changed).await.outcome();
        assert_eq!(outcome, "401 token_unsealable", "byte {position}");
    }
    assert_eq!(gateway.get("/orders", &sealed).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_that_fail_and_pages_that_pass() {
    let service = LoginService::start().await;
    let gateway = start(&service).await;
    let token = gateway.token("alice");
    service.issue(&token);
    let answer = gateway.send(Request::get("/login/leak")).await;
    assert_eq!(answer.outcome(), "503 login_unavailable", "{answer}");
    assert_hides(&answer, &token);
    let answer = gateway.send(Request::get("/login/page")).await;
    assert_eq!(answer.body, "<form>caf\u{e9}</form>".as_bytes(), "{answer}");
    assert_eq!(gateway.send(Request::get("/login/nothing")).await.status, 404);
    let large = "x".repeat(20_000);
    let answer = gateway.send(Request::post("/login", &format!("wonderland{large}"))).await;
    given(&answer);

    let bytes = log_in().into_bytes();
    let (head, rest) = bytes.split_at(bytes.len() - 5);
    let mut connection = Connection::open(gateway.ports.listener);
    connection.write(head);
    sleep(Duration::from_millis(200)).await;
    connection.write(rest);
    given(&connection.read_answer().unwrap());
    for _ in 0..5 {
        let mut connection = Connection::open(gateway.ports.listener);
        connection.write(&bytes);
        connection.reset();
    }
    given(&gateway.send(log_in()).await);
    let port = service.port;
    drop(service);
    let _silent = hold(port).await;
    assert_eq!(gateway.send(log_in()).await.outcome(), "503 login_unavailable");
    gateway.assert_serves("logins that failed").await;
}
