//! The main job: a public token becomes an identity.

use serde_json::json;

use crate::nginx::{Caller, Setup};
use crate::wire::Request;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_becomes_an_identity() {
    let nginx = Setup::bundled().start().await;
    nginx.ready().await;
    let token = nginx.token("alice");
    for _ in 0..3 {
        let answer = nginx.get("/orders?page=2", &token).await;
        assert_eq!(answer.status, 200, "{answer}");
        let seen = answer.seen();
        assert_eq!(seen.path(), "/orders?page=2");
        assert_eq!(seen.identity()["sub"], "alice");
        assert_eq!(seen.identity()["country"], "ES");
        assert_eq!(seen.values("x-consumer-username"), ["web-app"]);
        assert_eq!(seen.values("x-consumer-groups"), ["first-party"]);
        assert_eq!(seen.values("x-user-country"), ["ES"]);
        assert_eq!(seen.values("authorization"), [""; 0]);
    }
    assert_eq!(nginx.user_calls("alice").await, 1, "the answer is kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_without_kong() {
    let nginx = Setup::bundled().caller(Caller::OpenResty).start().await;
    nginx.ready().await;
    let answer = nginx.get("/orders", &nginx.token("alice")).await;
    assert_eq!(answer.status, 200, "{answer}");
    assert_eq!(answer.json()["identity"]["claims"]["sub"], "alice");
    let answer = nginx.send(Request::get("/orders")).await;
    assert_eq!(answer.outcome(), "401 token_missing");
    assert_eq!(answer.header("www-authenticate"), Some(r#"Bearer realm="shop""#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_user_service_is_told_for_which_request_it_is_asked() {
    let nginx = Setup::bundled().start().await;
    nginx.ready().await;
    assert_eq!(nginx.get("/orders", &nginx.token("alice")).await.status, 200);
    let calls = nginx.read(nginx.ports.users, "/calls").await;
    let id = calls["request_ids"]["alice"].as_str().unwrap_or_default();
    let is_of_nginx = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(is_of_nginx, "{calls}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn later_plugins_see_who_it_is() {
    let nginx = Setup::bundled().start().await;
    nginx.ready().await;
    let kong = |answer: &crate::wire::Answer| -> serde_json::Value {
        serde_json::from_str(answer.header("x-kong").expect("what Kong has")).unwrap()
    };
    let answer = nginx.get("/orders", &nginx.token("alice")).await;
    assert_eq!(
        kong(&answer),
        json!({
            "consumer": {
                "id": "5c0c1f6e-8a55-4f0a-9d3f-0f6a2b7c9e11",
                "username": "web-app",
                "custom_id": "web",
            },
            "credential": "web",
            "shared": {
                "authenticated_groups": ["first-party"],
                "gatepass_consumer": "web",
                "gatepass_subject": "alice",
            },
        })
    );
    let answer = nginx.send(Request::get("/catalog")).await;
    assert_eq!(kong(&answer), json!({"consumer": {"username": "guest"}}));
    let answer = nginx.send(Request::get("/orders")).await;
    assert_eq!(kong(&answer), json!({"shared": {"gatepass_code": "token_missing"}}));
    let answer = nginx.send(Request::get("/health")).await;
    assert_eq!(kong(&answer), json!({}), "nobody");
    let setup = Setup::bundled().set("/access_log", json!({"properties": false}));
    let nginx = setup.start().await;
    nginx.ready().await;
    let answer = nginx.get("/orders", &nginx.token("alice")).await;
    assert_eq!(kong(&answer)["shared"], json!({"authenticated_groups": ["first-party"]}));
}

/// Kong's plugins count and keep by the consumer's id, and the acl plugin fails on one that
/// is no UUID.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_consumer_has_an_id_of_its_own_for_kong() {
    let entry = json!({"key": "web", "groups": ["first party", "a,b", "Zoë"]});
    let mut ids = Vec::new();
    for fields in [json!({}), json!({"id": "7"}), json!({"id": "8", "username": "Zoë"})] {
        let mut entry = entry.clone();
        entry.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let nginx = Setup::bundled().set("/consumers/entries", json!([entry])).start().await;
        nginx.ready().await;
        let answer = nginx.get("/orders", &nginx.token("alice")).await;
        assert_eq!(answer.status, 200, "{answer}");
        let seen: serde_json::Value =
            serde_json::from_str(answer.header("x-kong").unwrap()).unwrap();
        assert_eq!(seen["shared"]["authenticated_groups"], json!(["first party", "a,b", "Zoë"]));
        assert_eq!(seen["credential"], "web");
        if let Some(username) = fields.get("username") {
            assert_eq!(seen["consumer"]["username"], *username);
        }
        let id = seen["consumer"]["id"].as_str().unwrap_or_else(|| panic!("{seen}")).to_owned();
        let groups: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12], "{id}");
        assert!(!ids.contains(&id), "{ids:?}");
        ids.push(id);
    }
}
