//! The shop of `make run`: what its services answer, by plain HTTP.

use serde_json::{Value, json};

use crate::gateway::until;
use crate::open_shop::{Shop, post};
use crate::wire::Request;

/// The tokens that the services were sent, each with its service.
fn tokens(answer: &Value) -> Vec<(&str, &str)> {
    let trace = answer["trace"].as_array().expect("a trace");
    let text = |value| Value::as_str(value).expect("text");
    trace.iter().map(|hop| (text(&hop["service"]), text(&hop["token"]))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_user_sees_a_shop_of_their_own() {
    let shop = Shop::shared().await;
    let home = shop.get("/home", &shop.alice().await).await.json()["content"].clone();
    assert_eq!(home["user"]["customer_type"], "premium");
    assert_eq!(home["promotion"]["percent"], 15);
    assert_eq!(home["reviews"][0]["language"], "es");
    assert_eq!(home["catalog"][0]["price"], json!({"amount": 3400, "currency": "EUR"}));
    let first = &home["recommendations"][0];
    assert_eq!(
        (&first["kind"], &first["because"]["ordered"]),
        (&json!("coffee"), &json!("Moka pot"))
    );

    let bob = shop.log_in("bob", "builder").await;
    let home = shop.get("/home", &bob).await.json()["content"].clone();
    assert_eq!(home["user"]["customer_type"], "standard");
    assert_eq!(home["promotion"]["percent"], 0);
    assert_eq!(home["reviews"][0]["language"], "ja");
    assert_eq!(home["catalog"][0]["price"], json!({"amount": 5610, "currency": "JPY"}));
    assert_eq!(home["recommendations"][0]["because"]["ordered"], "Matcha bowl");

    // A courier's application gets the catalog, and that by GET alone.
    let dave = shop.log_in("dave", "delivery").await;
    let catalog = shop.get("/catalog", &dave).await;
    assert_eq!(catalog.outcome(), "200");
    assert_eq!(catalog.json()["content"].as_array().unwrap().len(), 8);
    for path in ["/home", "/recommendations", "/promotions", "/reviews", "/basket", "/orders"] {
        assert_eq!(shop.get(path, &dave).await.outcome(), "403 group_forbidden", "{path}");
    }
    let post = post("/catalog", "application/json", "{}").bearer(&dave);
    let answer = shop.send(shop.ports().listener, post).await;
    assert_eq!(answer.outcome(), "403 group_forbidden");

    // Who is not logged in sees the catalog too.
    let guest = shop.send(shop.ports().listener, Request::get("/catalog")).await;
    assert_eq!(tokens(&guest.json()), [("catalog", "none")]);
    let answer = shop.send(shop.ports().listener, Request::get("/home")).await;
    assert_eq!(answer.outcome(), "401 token_missing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_basket_belongs_to_its_user_and_costs_what_the_promotion_says() {
    let shop = Shop::shared().await;
    let (alice, bob) = (shop.alice().await, shop.log_in("bob", "builder").await);
    let put = |token: &str, product: &str, quantity: u32| {
        let body = json!({"product": product, "quantity": quantity}).to_string();
        post("/basket", "application/json", &body).bearer(token)
    };
    let gateway = shop.ports().listener;
    let answer = shop.send(gateway, put(&alice, "iron-kettle", 2)).await.json()["content"].clone();
    assert_eq!(answer["total"], json!({"amount": 7800 * 2 * 85 / 100, "currency": "EUR"}));
    assert_eq!(shop.get("/basket", &bob).await.json()["content"]["lines"], json!([]));
    let answer = shop.send(gateway, put(&alice, "crown-jewels", 1)).await;
    assert_eq!(answer.status, 422, "{answer}");
    let answer = shop.send(gateway, put(&alice, "iron-kettle", 0)).await.json()["content"].clone();
    assert_eq!(answer["lines"], json!([]));
}

/// The idea of it all, in numbers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_filter_nobody_asks_and_without_it_everybody_does() {
    let shop = Shop::open().await;
    let token = shop.alice().await;
    let (before, _) = shop.user_calls().await;
    for _ in 0..10 {
        let home = shop.get("/home", &token).await.json();
        let tokens = tokens(&home);
        assert_eq!(tokens.len(), 10, "{tokens:?}");
        assert!(tokens.iter().all(|(_, token)| *token == "identity"), "{tokens:?}");
        assert!(!home.to_string().contains(&token), "the public token reached a service");
    }
    let (gateway, services) = shop.user_calls().await;
    assert!(gateway - before <= 2, "once a worker at most, not {gateway}");
    assert_eq!(services, 0);

    let backstage = shop.ports().backstage;
    for _ in 0..10 {
        let home = shop.send(backstage, Request::get("/home").bearer(&token)).await.json();
        let tokens = tokens(&home);
        assert_eq!(tokens.len(), 10, "{tokens:?}");
        assert!(tokens.iter().all(|(_, token)| *token == "public"), "{tokens:?}");
    }
    assert_eq!(shop.user_calls().await, (gateway, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_takes_no_identity_but_the_gateways() {
    let shop = Shop::shared().await;
    let token = shop.alice().await;
    let home = shop.ports().upstream;
    for (case, request) in [
        ("nobody", Request::get("/home")),
        ("a public token as identity", Request::get("/home").with("x-identity-token", &token)),
        ("nonsense as identity", Request::get("/home").with("x-identity-token", "a.b.c")),
        ("nonsense as public token", Request::get("/home").bearer("a.b.c")),
    ] {
        assert_eq!(shop.send(home, request).await.status, 401, "{case}");
    }
    // The gateway removes what the client calls its identity.
    let forged = Request::get("/home").bearer(&token).with("x-identity-token", "a.b.c");
    assert_eq!(shop.send(shop.ports().listener, forged).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_gets_its_token_in_a_cookie_that_no_other_site_can_use() {
    let shop = Shop::shared().await;
    let gateway = shop.ports().listener;
    let form = "application/x-www-form-urlencoded";
    let login = |more: &str| format!("username=alice&password=wonderland{more}");
    let answer =
        shop.post(gateway, "/login", form, &login("&return_to=%2Forders%3Fpage%3D2")).await;
    assert_eq!((answer.status, answer.header("location")), (303, Some("/orders?page=2")));
    let cookie = answer.header("set-cookie").unwrap();
    let (cookie, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Max-Age=3600; HttpOnly; SameSite=Lax");
    let home = Request::get("/home").with("cookie", cookie);
    assert_eq!(shop.send(gateway, home).await.status, 200);

    // Where Envoy has TLS, the cookie never travels without.
    let tls = post("/login", form, &login("")).with("x-forwarded-proto", "https");
    let answer = shop.send(shop.ports().auth, tls).await;
    assert!(answer.header("set-cookie").unwrap().contains("; Secure; HttpOnly; SameSite=Lax"));

    for elsewhere in ["//evil.example", "https://evil.example", "/\\evil.example", "/%0a//x", ""] {
        let body = login(&format!("&return_to={elsewhere}"));
        let answer = shop.post(gateway, "/login", form, &body).await;
        assert_eq!(answer.header("location"), Some("/"), "{elsewhere}");
    }
    let wrong = "username=%22%3E%3Cscript%3E&password=x&return_to=%22%3E%3Cscript%3E";
    let answer = shop.post(gateway, "/login", form, wrong).await;
    assert_eq!((answer.status, answer.header("set-cookie")), (401, None));
    assert!(!String::from_utf8_lossy(&answer.body).contains("<script"), "{answer}");

    // Another site may neither log anyone in or out, nor use the switches.
    for (port, path) in [(gateway, "/login"), (gateway, "/logout")] {
        let request = post(path, form, &login("")).with("origin", "https://evil.example");
        let answer = shop.send(port, request).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, None), "{path}");
    }
    for path in ["/auth/rotate", "/users/fault", "/auth/token", "/home"] {
        let request = Request::get(path).with("origin", "https://evil.example");
        assert_eq!(shop.send(shop.ports().backstage, request).await.status, 403, "{path}");
    }
    // The switches are not to be had through the gateway.
    for path in ["/auth/rotate", "/rotate", "/revoke", "/token", "/users/calls", "/revocations"] {
        let answer = shop.send(gateway, Request::get(path)).await;
        assert_eq!(answer.outcome(), "401 token_missing", "{path}");
    }
    let page = Request::get("/").with("accept", "text/html");
    let answer = shop.send(gateway, page).await;
    assert_eq!((answer.status, answer.header("location")), (302, Some("/login?return_to=%2F")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cached_user_outlives_the_user_service_and_a_token_its_key() {
    let shop = Shop::open().await;
    let token = shop.alice().await;
    // Both workers know alice.
    for _ in 0..20 {
        assert_eq!(shop.get("/home", &token).await.outcome(), "200");
    }
    shop.post_json(shop.ports().auth, "/rotate", &json!({})).await;
    let renewed = shop.alice().await;
    shop.post_json(shop.ports().users, "/fault", &json!({"kind": "down"})).await;
    for _ in 0..10 {
        assert_eq!(shop.get("/home", &token).await.outcome(), "200", "the old key");
        assert_eq!(shop.get("/home", &renewed).await.outcome(), "200", "the new key");
    }
    let bob = shop.log_in("bob", "builder").await;
    assert_eq!(shop.get("/home", &bob).await.outcome(), "503 user_info_unavailable");
    let without = Request::get("/home").bearer(&token);
    assert_eq!(shop.send(shop.ports().backstage, without).await.status, 503);
    shop.post_json(shop.ports().users, "/fault", &json!({"kind": "none"})).await;
    until("bob is known", || async { shop.get("/home", &bob).await.status == 200 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_revoked_is_out_at_once_and_may_log_in_again() {
    let shop = Shop::open().await;
    let (old, bob) = (shop.alice().await, shop.log_in("bob", "builder").await);
    for _ in 0..10 {
        assert_eq!(shop.get("/home", &old).await.outcome(), "200");
    }
    let revoked = shop.post_json(shop.ports().auth, "/revoke", &json!({"sub": "alice"})).await;
    assert_eq!(revoked.json()["gateway_told"], true, "{revoked}");
    for _ in 0..10 {
        assert_eq!(shop.get("/home", &old).await.outcome(), "401 token_revoked");
        assert_eq!(shop.get("/home", &bob).await.outcome(), "200");
    }
    let new = shop.alice().await;
    assert_eq!(shop.get("/home", &new).await.outcome(), "200");
    // Without the gateway nobody asks: the token is good until it ends.
    let without = Request::get("/home").bearer(&old);
    assert_eq!(shop.send(shop.ports().backstage, without).await.status, 200);

    // Only the auth service may say so.
    let entries = json!({"entries": [{"sub": "bob"}]}).to_string();
    let request = post("/.well-known/gatepass/revocations", "application/json", &entries);
    let answer = shop.send(shop.ports().listener, request.bearer(&new)).await;
    assert_eq!(answer.outcome(), "403 insufficient_scope");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_auth_service_keeps_who_was_locked_out() {
    let shop = Shop::open().await;
    let auth = shop.ports().auth;
    let since = |cursor: &str| Request::get(&format!("/revocations?since={cursor}"));
    let empty = shop.send(auth, Request::get("/revocations")).await.json();
    assert_eq!(empty["entries"], json!([]));
    let cursor = empty["cursor"].as_str().unwrap().to_owned();

    let old = shop.alice().await;
    let revoked = shop.post_json(auth, "/revoke", &json!({"sub": "alice"})).await.json();
    let news = shop.send(auth, since(&cursor)).await.json();
    assert_eq!(news["entries"], json!([revoked["entry"]]));
    let entry = &news["entries"][0];
    assert_eq!(entry["sub"], "alice");
    assert!(entry["issued_before"].as_u64() < entry["until"].as_u64(), "{entry}");
    let latest = news["cursor"].as_str().unwrap();
    assert_eq!(shop.send(auth, since(latest)).await.json()["entries"], json!([]));
    // Of a list that is no more, or never was, a gateway has seen nothing.
    for cursor in ["", "1", "another.1", "%00", "-1"] {
        assert_eq!(shop.send(auth, since(cursor)).await.json()["entries"], news["entries"]);
    }

    // Who logs in again is in; what they had is out, and is not renewed.
    let new = shop.alice().await;
    let renew = |token: &str| {
        post("/renew", "application/json", "{}").with("cookie", format!("shop_token={token}"))
    };
    assert_eq!(shop.send(auth, renew(&old)).await.status, 401);
    assert_eq!(shop.send(auth, renew(&new)).await.status, 204);
}

#[test]
fn the_page_is_small_and_asks_nobody_else() {
    let files = [
        include_str!("../../examples/shop/page/home.html"),
        include_str!("../../examples/shop/page/login.html"),
        include_str!("../../examples/shop/page/shop.css"),
        include_str!("../../examples/shop/page/shop.js"),
        include_str!("../../examples/shop/page/clients.js"),
        include_str!("../../examples/shop/page/icon.svg"),
    ];
    let bytes: usize = files.iter().map(|file| file.len()).sum();
    assert!(bytes < 60_000, "{bytes} bytes");
    for file in files {
        let own = file.replace("http://www.w3.org/2000/svg", "");
        for elsewhere in ["http:", "https:", "src=\"//", "href=\"//", "url(", "@import"] {
            assert!(!own.contains(elsewhere), "{elsewhere} in {file}");
        }
        // What was fetched is text, never HTML or code.
        for unsafe_call in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "eval(", "document.write"]
        {
            assert!(!file.contains(unsafe_call), "{unsafe_call}");
        }
    }
}
