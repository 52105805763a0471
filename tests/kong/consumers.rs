//! Kong's own consumers: found by what the token says, as they are when the request comes.

use serde_json::{Value, json};

use crate::nginx::{Caller, Nginx, Setup, until};
use crate::wire::{Answer, Connection, Request};

const ID: &str = "0d7a6f8e-13f1-4a5b-8a33-6f0d1f2c9b11";

const OTHER: &str = "5f0c8a3e-6d0b-4b6f-9e1a-0d4f5a6b7c8d";

fn setup(consumers: Value) -> Setup {
    Setup::bundled().set("/consumers", consumers)
}

fn till() -> Value {
    json!([{"id": ID, "username": "till", "custom_id": "web", "tags": ["shop"], "groups": ["staff"]}])
}

fn kong(answer: &Answer) -> Value {
    serde_json::from_str(answer.header("x-kong").expect("what Kong has")).unwrap()
}

async fn started(consumers: Value, known: &Value) -> Nginx {
    let nginx = setup(consumers).start().await;
    nginx.write_consumers(known);
    nginx.ready().await;
    nginx
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_of_kong_is_found_by_each_of_its_names() {
    let own = till();
    for (field, claim) in [("custom_id", "azp"), ("username", "nickname"), ("id", "kong_id")] {
        let nginx = started(json!({"claim": [claim], "kong": field}), &own).await;
        let mut claims = crate::stack::auth::Auth::claims("alice").unwrap();
        (claims["nickname"], claims["kong_id"]) = (json!("till"), json!(ID));
        let token = nginx.auth.sign(&claims);
        for _ in 0..2 {
            let answer = nginx.get("/orders", &token).await;
            assert_eq!(answer.status, 200, "{field}: {answer}");
            let seen = answer.seen();
            assert_eq!(seen.values("x-consumer-id"), [ID]);
            assert_eq!(seen.values("x-consumer-username"), ["till"]);
            assert_eq!(seen.values("x-consumer-custom-id"), ["web"]);
            assert_eq!(seen.values("x-consumer-groups"), ["staff"]);
            let consumer = json!({"id": ID, "username": "till", "custom_id": "web"});
            assert_eq!(seen.identity()["consumer"], consumer);
            assert_eq!(kong(&answer)["consumer"], own[0], "the whole of it, for later plugins");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_in_kong_counts_for_tokens_that_are_known() {
    let consumers = json!({"claim": ["azp"], "kong": "custom_id"});
    let rules =
        json!([{"match": {"path_prefix": "/staff"}, "requires": {"groups_any": ["staff"]}}]);
    let nginx = setup(consumers).set("/rules", rules).start().await;
    nginx.write_consumers(&till());
    nginx.ready().await;
    let token = nginx.token("alice");
    assert_eq!(nginx.get("/staff", &token).await.outcome(), "200");
    let mut changed = till();
    (changed[0]["username"], changed[0]["groups"]) = (json!("counter"), json!([]));
    nginx.write_consumers(&changed);
    let answer = nginx.get("/orders", &token).await;
    assert_eq!(answer.seen().values("x-consumer-username"), ["counter"]);
    assert_eq!(answer.seen().identity()["consumer"]["username"], "counter");
    assert_eq!(nginx.get("/staff", &token).await.outcome(), "403 group_forbidden");
    nginx.write_consumers(&json!([]));
    assert_eq!(nginx.get("/orders", &token).await.outcome(), "401 consumer_unknown");
    nginx.write_consumers(&till());
    assert_eq!(nginx.get("/staff", &token).await.outcome(), "200");
    // Another one has taken its name, and then nobody: its key in the cache is none of theirs.
    let mut others = till();
    others[0]["custom_id"] = json!("former");
    others.as_array_mut().unwrap().push(json!({"id": OTHER, "custom_id": "web", "groups": []}));
    nginx.write_consumers(&others);
    assert_eq!(nginx.get("/orders", &token).await.seen().values("x-consumer-id"), [OTHER]);
    assert_eq!(nginx.get("/staff", &token).await.outcome(), "403 group_forbidden");
    others[1]["custom_id"] = json!("former too");
    nginx.write_consumers(&others);
    assert_eq!(nginx.get("/orders", &token).await.outcome(), "401 consumer_unknown");
    nginx.write_consumers(&till());
    assert_eq!(nginx.get("/staff", &token).await.outcome(), "200");
    // A database that cannot be asked is no reason to take somebody for unknown.
    nginx.write_consumers(&Value::Null);
    assert_eq!(nginx.get("/orders", &token).await.outcome(), "503 identity_unavailable");
}

/// Kong cannot tell the plugin of a consumer that it did not find: not found is found again
/// within seconds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_made_later_is_found_soon() {
    let consumers = json!({"claim": ["sub"], "kong": "custom_id"});
    let nginx = started(consumers, &json!([])).await;
    let (alice, bob) = (nginx.token("alice"), nginx.token("bob"));
    assert_eq!(nginx.get("/orders", &alice).await.outcome(), "401 consumer_unknown");
    nginx.write_consumers(&json!([
        {"id": ID, "custom_id": "alice", "groups": []},
        {"id": OTHER, "custom_id": "bob", "groups": []},
    ]));
    assert_eq!(nginx.get("/orders", &bob).await.outcome(), "200", "nobody asked for this one");
    assert_eq!(nginx.get("/orders", &alice).await.outcome(), "401 consumer_unknown", "cached");
    until("it is found", || async { nginx.get("/orders", &alice).await.outcome() == "200" }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_during_a_lookup_leaves_nothing_behind() {
    let setup = setup(json!({"claim": ["azp"], "kong": "custom_id"})).counts_in_progress();
    let setup = setup.server("lua_check_client_abort on;").init("lookup_seconds = 0.5 ");
    let nginx = setup.start().await;
    nginx.write_consumers(&till());
    nginx.ready().await;
    let token = nginx.token("alice");
    let mut connection = Connection::open(nginx.ports.listener);
    connection.write(&Request::get("/orders").bearer(&token).into_bytes());
    until("it is looked up", || async { nginx.in_progress().await > 0 }).await;
    connection.reset();
    until("it is forgotten", || async { nginx.in_progress().await == 0 }).await;
    assert_eq!(nginx.get("/orders", &token).await.outcome(), "200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_consumer_a_token_passes_only_if_that_is_said() {
    let consumers = json!({"claim": ["azp"], "kong": "username", "optional": true});
    let nginx = started(consumers, &till()).await;
    let mut claims = crate::stack::auth::Auth::claims("alice").unwrap();
    // Names that may be a consumer's: nobody gets them by a claim.
    (claims["sub"], claims["preferred_username"]) = (json!("alice"), json!("till"));
    let answer = nginx.get("/orders", &nginx.auth.sign(&claims)).await;
    let seen = answer.seen();
    assert_eq!(seen.identity()["sub"], "alice");
    for name in ["x-consumer-id", "x-consumer-username", "x-credential-identifier"] {
        assert_eq!(seen.values(name), [""; 0], "{name}");
    }
    assert_eq!(kong(&answer).get("consumer"), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_nginx_without_kong_has_no_consumers() {
    let consumers = json!({"claim": ["azp"], "kong": "custom_id"});
    let mut nginx = setup(consumers).caller(Caller::OpenResty).start().await;
    nginx.expect_errors();
    let answer = nginx.get("/orders", &nginx.token("alice")).await;
    assert_eq!(answer.outcome(), "503 configuration_invalid");
    let told = "$.consumers.kong: found Kong's own consumers";
    assert!(nginx.log().contains(told), "{}", nginx.log());
}
