//! Rules see the path that the upstream will act on.

use serde_json::json;

use crate::host::{Head, each_host};
use crate::shop::{self, assert_denied, token, user_reply};

each_host!(a_path_that_servers_read_differently_is_refused, |host| {
    shop::open(host, json!({}));
    // nginx shows most of these to a filter as a plain path, and sends on
    // something else.
    for path in [
        "/admin%2f..%2flogin",
        "/admin/../login",
        "/login/%2e%2e/admin",
        "/login//x",
        "/login%5c..%5cadmin",
        "/login;/../admin",
        "/login%00",
        "/login%0d%0ax:y",
    ] {
        assert_denied(&host.send(Head::get(path)), 400, "path_ambiguous");
    }
});

each_host!(a_path_is_decoded_once, |host| {
    shop::open(host, json!({}));
    assert!(host.send(Head::get("/%6Cogin")).is_forwarded());
    // To the upstream this is the segment `%6Cogin`, unless it decodes once more.
    assert_denied(&host.send(Head::get("/%256Cogin")), 400, "path_ambiguous");
});

each_host!(stripping_a_token_leaves_the_rest_of_the_target_alone, |host| {
    shop::open(host, json!({ "token": { "from_params": ["access_token"] }, "rules": null }));
    for (path, expected) in [
        ("/a%20b/%41?access_token=T&c=%2F", "/a%20b/%41?c=%2F"),
        ("/a%0d%0ax:%20y?access_token=T", "/a%0d%0ax:%20y"),
        ("/a%3Fb?access_token=T", "/a%3Fb"),
        ("/a/../b//c?access_token=T", "/a/../b//c"),
    ] {
        let request = host.send(Head::get(&path.replace('T', &token("alice"))));
        if request.is_paused() {
            request.answer(user_reply("alice"));
        }
        assert_eq!(request.upstream_headers(":path"), [expected], "{path}");
    }
});

each_host!(stripping_a_token_keeps_what_the_route_made_of_the_path, on Kong, |host| {
    shop::open(host, json!({ "token": { "from_params": ["access_token"] } }));
    let public = token("alice");
    // strip_path took /shop away, and the service has a path of its own.
    host.set_property("ngx.upstream_uri", &format!("/v1/orders?a=1&access_token={public}"));
    let request = host.send(Head::get(&format!("/shop/orders?a=1&access_token={public}")));
    request.answer(user_reply("alice"));
    assert_eq!(request.upstream_headers(":path"), ["/v1/orders?a=1"]);
});

each_host!(stripping_a_token_keeps_what_other_plugins_made_of_the_query, on Kong, |host| {
    shop::open(host, json!({ "token": { "from_params": ["access_token"] } }));
    let public = token("alice");
    // A plugin took `debug` away and added `region`.
    host.set_property("ngx.args", &format!("access_token={public}&region=eu"));
    host.set_property("ngx.upstream_uri", &format!("/orders?access_token={public}&region=eu"));
    let request = host.send(Head::get(&format!("/orders?debug=1&access_token={public}")));
    request.answer(user_reply("alice"));
    assert_eq!(request.upstream_headers(":path"), ["/orders?region=eu"]);
});

// RFC 9112 section 3.2 (R50)
each_host!(a_request_without_pseudo_headers_is_no_trap, as built too, |host| {
    shop::open(host, json!({}));
    const NAMES: [&str; 3] = [":path", ":method", ":authority"];
    for without in 1..8_usize {
        let is_without = |at: &usize| without >> at & 1 == 1;
        let names = (0..3).filter(is_without).map(|at| NAMES[at]);
        let request = host.send(names.fold(Head::get("/"), |head, name| head.without(name)));
        assert!([400, 401].contains(&request.status()), "{without:b}: {}", request.status());
    }
    let request = host.send(Head::get("/").header("authorization", &shop::bearer("alice")));
    request.answer(shop::user_reply("alice"));
    assert!(request.is_forwarded(), "the next one is served");
});
