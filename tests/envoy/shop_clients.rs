//! The shop's clients that are not its page: sessions that end everywhere, a thief of a bound
//! token, and an agent. By every door that is built.

use serde_json::{Value, json};

use crate::clients::ProofKey;
use crate::gateway::until;
use crate::open_shop::{Shop, post};
use crate::stack::door::Door;
use crate::wire::{Answer, Request};

const FORM: &str = "application/x-www-form-urlencoded";
/// As the tests' requests name the host.
const URI: &str = "http://shop.example/orders";

/// A request by the address of the gateway.
fn at(port: u16, path: &str) -> Request {
    Request::bare(format!("GET {path} HTTP/1.1")).with("host", format!("127.0.0.1:{port}"))
}

/// A session in a browser: its cookie.
async fn session(shop: &Shop, username: &str, password: &str) -> String {
    let form = format!("username={username}&password={password}&return_to=/");
    let answer = shop.post(shop.ports().listener, "/login", FORM, &form).await;
    let cookie = answer.header("set-cookie").expect("a cookie");
    cookie.split("; ").next().unwrap().to_owned()
}

/// A form on the shop's page.
fn leave(cookie: &str) -> Request {
    post("/logout/everywhere", FORM, "")
        .with("cookie", cookie)
        .with("origin", "http://shop.example")
}

/// Logs out at `door`, and is out at every door at once: with what is in other browsers, and
/// with what programs have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_logs_out_everywhere_is_out_with_every_token() {
    let shop = Shop::open_both_doors().await;
    for (round, door) in shop.doors().into_iter().enumerate() {
        let here = session(&shop, "alice", "wonderland").await;
        let elsewhere = session(&shop, "alice", "wonderland").await;
        let (bearer, bob) = (shop.alice().await, shop.log_in("bob", "builder").await);
        let all = || {
            let get = || Request::get("/orders");
            let cookie = |cookie: &str| get().with("cookie", cookie);
            [get().bearer(&bearer), cookie(&here), cookie(&elsewhere)]
        };
        for port in shop.doors() {
            for request in all() {
                assert_eq!(shop.send(port, request).await.outcome(), "200");
            }
        }
        let answer = shop.send(door, leave(&here)).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (303, Some("/login?out=everywhere")),
            "the gateways accepted the logout token: {answer}"
        );
        assert!(answer.header("set-cookie").unwrap().contains("Max-Age=0"), "{answer}");
        for port in shop.doors() {
            for request in all().into_iter().chain(all()) {
                assert_eq!(shop.send(port, request).await.outcome(), "401 token_revoked");
            }
            let bob = Request::get("/orders").bearer(&bob);
            assert_eq!(shop.send(port, bob).await.outcome(), "200", "others stay");
        }
        // It was a logout that each gateway accepted, beside what is on the list.
        let expected = (round as u64 + 1) * shop.doors().len() as u64;
        until("the logouts are counted", || async { shop.logouts().await == expected }).await;
        let new = shop.alice().await;
        assert_eq!(
            shop.get("/orders", &new).await.outcome(),
            "200",
            "a new login is a new session"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_logged_out_everywhere_but_by_their_own_page() {
    let shop = Shop::open().await;
    let dave = session(&shop, "dave", "delivery").await;
    let gateway = shop.ports().listener;
    for (case, request, expected) in [
        ("nobody", post("/logout/everywhere", FORM, "sub=dave"), "401 token_missing"),
        (
            "another site's page",
            post("/logout/everywhere", FORM, "")
                .with("cookie", &dave)
                .with("origin", "https://evil.example"),
            "403 origin_forbidden",
        ),
        ("a link", Request::get("/logout/everywhere").with("cookie", &dave), "403 group_forbidden"),
    ] {
        assert_eq!(shop.send(gateway, request).await.outcome(), expected, "{case}");
    }
    // Nor at the auth service, which believes nobody but the gateway.
    let forged = leave(&dave).with("x-identity-token", "a.b.c");
    assert_eq!(shop.send(shop.ports().auth, forged).await.status, 401);
    assert_eq!(
        shop.send(gateway, Request::get("/catalog").with("cookie", &dave)).await.status,
        200
    );
    // A client that may read the catalog alone may still leave.
    let answer = shop.send(gateway, leave(&dave)).await;
    assert_eq!(answer.header("location"), Some("/login?out=everywhere"), "{answer}");
    let page = shop.send(gateway, Request::get("/login?out=everywhere")).await;
    assert!(String::from_utf8_lossy(&page.body).contains("You are logged out everywhere"));
}

/// A token that is bound to `key`, for the session of `cookie`.
async fn bind(shop: &Shop, cookie: &str, proof: Option<&str>) -> Answer {
    let request = post("/auth/bind", FORM, "").with("cookie", cookie);
    let request = match proof {
        Some(proof) => request.with("dpop", proof),
        None => request,
    };
    shop.send(shop.ports().backstage, request).await
}

fn with_proof(token: &str, proof: &str) -> Request {
    Request::get("/orders").with("authorization", format!("DPoP {token}")).with("dpop", proof)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stolen_token_is_refused_without_its_key() {
    let shop = Shop::shared().await;
    let alice = session(&shop, "alice", "wonderland").await;
    let (key, thief) = (ProofKey::new(), ProofKey::new());
    let bind_uri = "http://shop.example/auth/bind";
    for (case, proof, expected) in [
        ("none", None, 400),
        ("another method", Some(key.proof("GET", bind_uri, "", None)), 400),
        ("another URI", Some(key.proof("POST", URI, "", None)), 400),
        ("its own", Some(key.proof("POST", bind_uri, "", None)), 200),
    ] {
        assert_eq!(bind(&shop, &alice, proof.as_deref()).await.status, expected, "{case}");
    }
    assert_eq!(bind(&shop, "shop_token=a.b.c", None).await.status, 401);

    let proof = key.proof("POST", bind_uri, "", None);
    let reply = bind(&shop, &alice, Some(&proof)).await.json();
    assert_eq!(reply["token_type"], "DPoP");
    let token = reply["access_token"].as_str().unwrap();
    for door in shop.doors() {
        let used = key.proof("GET", URI, token, None);
        let answer = shop.send(door, with_proof(token, &used)).await;
        assert_eq!(answer.json()["identity"]["claims"]["cnf"], key.confirmation(), "{answer}");
        for (case, request, expected) in [
            ("as bearer", Request::get("/orders").bearer(token), "401 binding_mismatch"),
            (
                "by another key",
                with_proof(token, &thief.proof("GET", URI, token, None)),
                "401 binding_mismatch",
            ),
            ("a used proof", with_proof(token, &used), "401 dpop_invalid"),
            (
                "no proof",
                Request::get("/orders").with("authorization", format!("DPoP {token}")),
                "401 dpop_invalid",
            ),
        ] {
            assert_eq!(shop.send(door, request).await.outcome(), expected, "{case}");
        }
        let again = with_proof(token, &key.proof("GET", URI, token, None));
        assert_eq!(shop.send(door, again).await.outcome(), "200", "its owner goes on");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_finds_what_it_needs_from_the_address_alone() {
    let shop = Shop::shared().await;
    let alice = session(&shop, "alice", "wonderland").await;
    let send = |cookie: &str, port: u16| {
        let body = json!({"port": port}).to_string();
        let request = post("/agent", "application/json", &body).with("cookie", cookie);
        shop.send(shop.ports().backstage, request)
    };
    let statuses = |report: &Value| {
        let steps = report["steps"].as_array().unwrap().iter();
        steps.map(|step| step["status"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    for door in shop.doors() {
        let report = send(&alice, door).await.json();
        assert_eq!(report["failed"], Value::Null, "{report:#}");
        assert_eq!(statuses(&report), [401, 200, 200, 302, 200, 200], "{report:#}");
        let found = report["steps"][5]["found"].as_str().unwrap();
        assert!(found.starts_with("as shopping-agent for Alice Romero: Espresso cups"), "{found}");
    }
    // Nobody who is not logged in agrees to anything.
    let report = send("shop_token=a.b.c", shop.ports().listener).await.json();
    assert_eq!(statuses(&report), [401, 200, 200, 401], "{report:#}");
    assert_eq!(send(&alice, shop.ports().users).await.status, 400, "no gateway");
    // The token of a session is for everything else.
    let gateway = shop.ports().listener;
    let tools = at(gateway, "/tools").bearer(&shop.alice().await);
    assert_eq!(shop.send(gateway, tools).await.outcome(), "401 audience_mismatch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_says_by_which_door_it_came() {
    let shop = Shop::shared().await;
    let alice = session(&shop, "alice", "wonderland").await;
    for (door, own) in shop.doors().into_iter().zip([Door::chosen(), Door::chosen().other()]) {
        let request = at(door, "/").with("accept", "text/html").with("cookie", &alice);
        let page = shop.send(door, request).await;
        let page = String::from_utf8_lossy(&page.body);
        assert!(
            page.contains(&format!("<span aria-current=\"page\">{}</span>", own.name())),
            "{page}"
        );
        for other in shop.doors().into_iter().filter(|other| *other != door) {
            assert!(page.contains(&format!("<a href=\"http://127.0.0.1:{other}/\">")), "{page}");
        }
    }
}
