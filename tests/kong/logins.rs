//! Logins whose token the gateway seals: bodies in, cookies out.

use serde_json::json;

use crate::login_service::LoginService;
use crate::nginx::{Nginx, Setup};
use crate::wire::Request;

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const CREDENTIALS: &str = r#"{"username": "alice", "password": "wonderland"}"#;

async fn start(service: &LoginService) -> Nginx {
    let mut setup = Setup::bundled()
        .set(
            "/token",
            json!({"from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
                              "from_cookies": ["shop_token"]}),
        )
        .set("/errors", json!({"realm": "shop"}))
        .set(
            "/sealed_tokens",
            json!({"keys": [KEY], "logins": [{
                "match": {"path_prefix": "/login", "methods": ["GET", "POST"]},
                "service": "login", "json": ["/access_token"], "cookies": ["shop_token"],
            }]}),
        );
    setup.config["services"]["login"] =
        json!({"upstream": format!("127.0.0.1:{}", service.port), "timeout_ms": 1000});
    // The login is the gateway's, no rule's.
    let rules = setup.config["rules"].as_array_mut().unwrap();
    rules.retain(|rule| rule["match"]["path"] != "/login");
    let nginx = setup.start().await;
    nginx.ready().await;
    nginx
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_holds_a_sealed_token_and_the_upstream_gets_the_identity() {
    let service = LoginService::start().await;
    let nginx = start(&service).await;
    let token = nginx.token("alice");
    service.issue(&token);
    // In memory, and in a file.
    for padding in [0, 40_000] {
        let body = format!("{CREDENTIALS}{}", " ".repeat(padding));
        let request = Request::post("/login", &body).with("content-type", "application/json");
        let answer = nginx.send(request.with("x-identity-token", "forged")).await;
        assert_eq!(answer.status, 200, "{answer}");
        let sealed = answer.json()["access_token"].as_str().unwrap().to_owned();
        assert!(sealed.starts_with("gps_"), "{sealed}");
        assert!(!answer.to_string().contains(&token), "{answer}");
        assert_eq!(answer.header("x-login"), Some("1"));
        let seen = service.seen().pop().unwrap();
        assert_eq!((seen.line.as_str(), seen.body.as_str()), ("POST /login", body.as_str()));
        assert_eq!(seen.header("x-identity-token"), None);
        let answer = nginx.get("/orders", &sealed).await;
        assert_eq!(answer.seen().identity()["sub"], "alice");
        assert!(!answer.to_string().contains(&sealed), "the upstream saw it: {answer}");
    }
    let wrong = Request::post("/login", "{}").with("content-type", "application/json");
    let answer = nginx.send(wrong).await;
    assert_eq!((answer.status, answer.json()), (401, json!({"error": "invalid_grant"})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_cookie_of_a_login_reaches_the_client() {
    let service = LoginService::start().await;
    let nginx = start(&service).await;
    let token = nginx.token("alice");
    service.issue(&token);
    let answer = nginx.send(Request::get("/login/callback?code=1")).await;
    assert_eq!((answer.status, answer.header("location")), (302, Some("/home")), "{answer}");
    let cookies = answer.headers.iter().filter(|(name, _)| name == "set-cookie");
    let cookies: Vec<_> = cookies.map(|(_, value)| value.as_str()).collect();
    let [session, theme] = cookies.as_slice() else { panic!("{answer}") };
    assert!(session.starts_with("shop_token=gps_"), "{session}");
    assert_eq!(*theme, "theme=dark; Path=/");
    let cookie = session.split(';').next().unwrap();
    let answer = nginx.send(Request::get("/orders").with("cookie", cookie)).await;
    assert_eq!(answer.seen().identity()["sub"], "alice");
    // One that would show the token is no answer.
    let answer = nginx.send(Request::get("/login/leak")).await;
    assert_eq!(answer.outcome(), "503 login_unavailable");
}
