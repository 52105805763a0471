//! Revoked tokens: on every worker at once, by bodies of any size, and after a reload.

use gatepass::denial::Denial;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::nginx::{Nginx, Setup, until};
use crate::stack::auth::{Auth, ISSUER};
use crate::stack::keys;
use crate::stack::server::Server;
use crate::wire::{Connection, Request};

const PATH: &str = "/.well-known/gatepass/revocations";
const LOGOUT: &str = "/.well-known/gatepass/backchannel-logout";

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
}

/// One that ends early changes nothing, harms nobody and leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_body_leaves_nothing_behind() {
    let nginx = setup().workers(1).counts_in_progress().start().await;
    nginx.ready().await;
    let bytes = post(&admin(&nginx), &json!([{"sub": "bob"}])).into_bytes();
    for is_reset in [true, false] {
        let mut connection = Connection::open(nginx.ports.listener);
        connection.write(&bytes[..bytes.len() - 5]);
        until("its body is awaited", || async { nginx.in_progress().await == 1 }).await;
        if is_reset {
            connection.reset();
        } else {
            drop(connection);
        }
        until("it is forgotten", || async { nginx.in_progress().await == 0 }).await;
        assert_eq!(nginx.get("/orders", &nginx.token("bob")).await.status, 200);
    }
}

/// A file for nodes that have one database.
fn file(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// Lua that has a file in the place of the database by which nodes hear of each other.
fn database(name: &str) -> String {
    let path = file(name);
    let _ = std::fs::remove_file(&path);
    CLUSTER.replace("$FILE", &path.display().to_string())
}

/// As Kong has it, each event is for the other nodes.
const CLUSTER: &str = r#"
    local own = {}
    cluster_events = {
      broadcast = function(_, channel, data)
        ngx.sleep(0.1)
        local file, err = io.open("$FILE", "a")
        if not file then return nil, err end
        own[data] = true
        file:write(channel, " ", data, "\n")
        file:close()
        return true
      end,
      subscribe = function(_, channel, heard)
        local read = 0
        ngx.timer.every(0.05, function()
          local file = io.open("$FILE")
          if not file then return end
          file:seek("set", read)
          for line in file:lines() do
            local from, data = line:match("^(%S+) (.*)$")
            if from == channel and not own[data] then heard(data) end
          end
          read = file:seek()
          file:close()
        end)
      end,
    }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_with_one_database_hear_of_it() {
    let database = database("revocations-of-nodes");
    let one = setup().workers(1).init(&database).start().await;
    let other = setup().workers(2).init(&database).start().await;
    // Of other users: revocations are theirs alone.
    let foreign = setup().set("/revocation/ledger", json!("another")).workers(1);
    let foreign = foreign.init(&database).start().await;
    for node in [&one, &other, &foreign] {
        node.ready().await;
        assert_eq!(node.get("/orders", &node.token("alice")).await.outcome(), "200");
    }
    let (alice, bob) = (other.token("alice"), other.token("bob"));
    let answer = one.send(post(&admin(&one), &json!([{"sub": "alice"}]))).await;
    assert_eq!(answer.status, 204, "{answer}");
    until("the other node knows", || async {
        other.get("/orders", &alice).await.outcome() == "401 token_revoked"
    })
    .await;
    for _ in 0..20 {
        assert_eq!(other.get("/orders", &alice).await.outcome(), "401 token_revoked");
        assert_eq!(other.get("/orders", &bob).await.outcome(), "200");
    }
    assert!(other.log().contains(r#""by":"node""#));
    assert_eq!(foreign.get("/orders", &foreign.token("alice")).await.outcome(), "200");
    // Taken back by another node than the one that took it in.
    let entries = json!([{"sub": "alice", "until": 1}]);
    assert_eq!(other.send(post(&admin(&other), &entries)).await.status, 204);
    until("it holds no more", || async {
        one.get("/orders", &one.token("alice")).await.outcome() == "200"
    })
    .await;
}

/// As during an upgrade, when another node has a later version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_node_revoked_and_cannot_be_read_is_logged() {
    const LOST: &str = "announcement_not_applied";
    let database = database("revocations-of-a-later-version");
    let mut node = setup().workers(1).init(&database).start().await;
    node.expect_errors();
    node.ready().await;
    assert_eq!(node.send(post(&admin(&node), &json!([{"sub": "alice"}]))).await.status, 204);
    let path = file("revocations-of-a-later-version");
    let announced = std::fs::read_to_string(&path).unwrap();
    assert!(announced.contains(r#""sub":"alice""#), "{announced}");
    assert!(!node.log().contains(LOST));
    let later = announced.replace(r#""sub":"alice""#, r#""device":"alice""#);
    std::fs::write(&path, announced + &later).unwrap();
    until("it is logged", || async { node.log().contains(LOST) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_revokes_is_told_if_other_nodes_cannot_be() {
    let node = setup().workers(1).init(&database("no/such/directory"));
    let mut node = node.start().await;
    node.expect_errors();
    node.ready().await;
    let answer = node.send(post(&admin(&node), &json!([{"sub": "alice"}]))).await;
    assert_eq!(answer.outcome(), "503 revocation_unavailable");
    assert_eq!(answer.json()["detail"], Denial::RevocationNotForwarded.to_string());
    let answer = node.get("/orders", &node.token("alice")).await;
    assert_eq!(answer.outcome(), "401 token_revoked", "it holds here all the same");
}

/// A node that takes logouts.
fn logouts() -> Setup {
    let client = json!({"client_ids": ["web"]});
    let setup = Setup::bundled().set("/providers/shop/logout", client);
    setup.set("/revocation", json!({"logout_path": LOGOUT}))
}

/// One that hands them on to a service at once, if it is there.
fn handing_on(feed: Option<u16>) -> Setup {
    let Some(port) = feed else { return logouts() };
    let forward = json!({"service": "feed", "path": "/revoked"});
    logouts()
        .set("/services/feed", json!({"upstream": format!("127.0.0.1:{port}")}))
        .set("/revocation/events", json!({ "forward": forward }))
}

/// A service that accepts everything, and its port.
async fn feed() -> (Server, u16) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = axum::Router::new().fallback(|| async { axum::http::StatusCode::NO_CONTENT });
    (Server::start(listener, router), port)
}

fn logout(node: &Nginx, sub: &str) -> Request {
    let claims = json!({
        "iss": ISSUER, "aud": "web", "sub": sub, "iat": Auth::claims(sub).unwrap()["iat"],
        "jti": keys::random_text(),
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    let token = node.auth.sign_as("logout+jwt", &claims);
    Request::post(LOGOUT, &format!("logout_token={token}"))
        .with("content-type", "application/x-www-form-urlencoded")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_that_waits_is_done_when_other_nodes_know() {
    let (_feed, port) = feed().await;
    for feed in [None, Some(port)] {
        let database = database(&format!("revocations-that-wait-{}", feed.is_some()));
        let one = handing_on(feed).init(&database).start().await;
        let other = logouts().init(&database).start().await;
        for node in [&one, &other] {
            node.ready().await;
        }
        for (sub, rotates) in [("alice", false), ("bob", true)] {
            if rotates {
                // It waits for the keys, too.
                one.post(one.ports.auth, "/rotate", &json!({})).await;
            }
            let token = other.token(sub);
            assert_eq!(other.get("/orders", &token).await.outcome(), "200");
            let answer = one.send(logout(&one, sub)).await;
            assert_eq!(answer.status, 200, "{feed:?}: {answer}");
            until("the other node knows", || async {
                other.get("/orders", &token).await.outcome() == "401 token_revoked"
            })
            .await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_other_nodes_could_not_be_told_is_no_success_and_told_later() {
    let (_feed, port) = feed().await;
    for (feed, rotates) in [(None, false), (None, true), (Some(port), false), (Some(port), true)] {
        let case = format!("handed on: {}, rotates: {rotates}", feed.is_some());
        let name = format!("later-{}-{rotates}", feed.is_some());
        let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        let _ = std::fs::remove_dir_all(&directory);
        let database = database(&format!("{name}/revocations"));
        let mut one = handing_on(feed).init(&database).start().await;
        one.expect_errors();
        let other = logouts().init(&database).start().await;
        for node in [&one, &other] {
            node.ready().await;
        }
        if rotates {
            one.post(one.ports.auth, "/rotate", &json!({})).await;
        }
        let (alice, bob) = (other.token("alice"), other.token("bob"));
        for sub in ["alice", "bob"] {
            let outcome = one.send(logout(&one, sub)).await.outcome();
            assert_eq!(outcome, "503 revocation_unavailable", "{case}: {sub}");
        }
        // What has nothing to do with it goes on.
        assert_eq!(one.send(Request::get("/orders")).await.outcome(), "401 token_missing");
        assert_eq!(one.get("/orders", &one.token("carol")).await.outcome(), "200");
        assert_eq!(other.get("/orders", &alice).await.outcome(), "200", "{case}");
        std::fs::create_dir(&directory).unwrap();
        for token in [&alice, &bob] {
            until("the other node knows", || async {
                other.get("/orders", token).await.outcome() == "401 token_revoked"
            })
            .await;
        }
        until("it is said", || async { one.log().contains("other nodes now know") }).await;
        assert_eq!(one.send(logout(&one, "carol")).await.status, 200, "{case}");
    }
}
