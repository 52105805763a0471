//! Revoked tokens: on every worker at once, by bodies of any size, and after a reload.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::nginx::{Nginx, Setup, until};
use crate::stack::auth::Auth;
use crate::wire::Request;

const PATH: &str = "/.well-known/gatepass/revocations";

fn admin(nginx: &Nginx) -> String {
    let mut claims = Auth::claims("bob").unwrap();
    claims["scope"] = json!("revoke");
    nginx.auth.sign(&claims)
}

fn post(token: &str, entries: &Value) -> Request {
    Request::post(PATH, &json!({ "entries": entries }).to_string()).bearer(token)
}

/// Without the feed, which would tell every worker sooner or later.
fn setup() -> Setup {
    let revocation = json!({"endpoint": {"path": PATH, "requires": {"scopes_all": ["revoke"]}}});
    Setup::bundled().set("/revocation", revocation).workers(3)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_worker_accepts_a_token_after_the_204() {
    let nginx = setup().start().await;
    nginx.ready().await;
    let (alice, bob) = (nginx.token("alice"), nginx.token("bob"));
    for _ in 0..30 {
        assert_eq!(nginx.get("/orders", &alice).await.status, 200);
    }
    let answer = nginx.send(post(&admin(&nginx), &json!([{"sub": "alice"}]))).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer}");
    for _ in 0..30 {
        assert_eq!(nginx.get("/orders", &alice).await.outcome(), "401 token_revoked");
        assert_eq!(nginx.get("/orders", &bob).await.outcome(), "200");
    }
    // Workers of the same master go on from where these were.
    nginx.signal(Signal::SIGHUP);
    until("the workers are new", || async { nginx.log().contains("gracefully shutting down") })
        .await;
    for _ in 0..30 {
        assert_eq!(nginx.get("/orders", &alice).await.outcome(), "401 token_revoked");
    }
}

/// The body is asked for when the user's data has come, by another coroutine than that of
/// the request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_may_be_read_after_a_callout() {
    let requires = json!({"scopes_all": ["revoke"], "claims": {"country": ["JP"]}});
    let setup = setup().set("/revocation/endpoint/requires", requires);
    let nginx = setup.start().await;
    nginx.ready().await;
    let calls = nginx.user_calls("bob").await;
    let answer = nginx.send(post(&admin(&nginx), &json!([{"sub": "alice"}]))).await;
    assert_eq!((answer.status, answer.body.len()), (204, 0), "{answer}");
    assert_eq!(nginx.user_calls("bob").await, calls + 1);
    let answer = nginx.get("/orders", &nginx.token("alice")).await;
    assert_eq!(answer.outcome(), "401 token_revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_in_memory_and_in_files() {
    let nginx = setup().start().await;
    nginx.ready().await;
    let admin = admin(&nginx);
    for count in [1, 100, 2000] {
        let mut entries: Vec<_> =
            (0..count - 1).map(|number| json!({"jti": format!("{count}-{number}")})).collect();
        let mut claims = Auth::claims("alice").unwrap();
        claims["jti"] = json!(format!("last of {count}"));
        let token = nginx.auth.sign(&claims);
        assert_eq!(nginx.get("/orders", &token).await.status, 200);
        entries.push(json!({"jti": format!("last of {count}")}));
        let answer = nginx.send(post(&admin, &json!(entries))).await;
        assert_eq!(answer.status, 204, "{count}: {answer}");
        assert_eq!(nginx.get("/orders", &token).await.outcome(), "401 token_revoked", "{count}");
    }
    for (case, request, expected) in [
        ("no entry", post(&admin, &json!([{"sub": 7}])), "400 entries_invalid"),
        ("no JSON", Request::post(PATH, "x").bearer(&admin), "400 entries_invalid"),
        ("no right", post(&nginx.token("alice"), &json!([])), "403 insufficient_scope"),
        ("no token", Request::post(PATH, "{}"), "401 token_missing"),
    ] {
        assert_eq!(nginx.send(request).await.outcome(), expected, "{case}");
    }
    assert_eq!(nginx.send(Request::get(PATH).bearer(&admin)).await.status, 405);
    let big = Request::post(PATH, &"x".repeat(3_000_000)).bearer(&admin);
    assert_eq!(nginx.send(big).await.status, 413);
    // One that ends early changes nothing and harms nobody.
    let bytes = post(&admin, &json!([{"sub": "bob"}])).into_bytes();
    let mut connection = crate::wire::Connection::open(nginx.ports.listener);
    connection.write(&bytes[..bytes.len() - 5]);
    connection.reset();
    assert_eq!(nginx.get("/orders", &nginx.token("bob")).await.status, 200);
}
