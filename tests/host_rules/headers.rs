//! Header maps: what the filter sees, and what the upstream receives.

use crate::host::{Head, Outcome, Reply};
use crate::{assert_broken, both, envoy, kong, waiting};

#[test]
fn a_request_passes_and_its_context_is_closed() {
    both(|host| {
        let request = host.request([]);
        assert!(request.is_forwarded());
        request.finish();
        assert!(host.logged("closed"));
    });
}

#[test]
fn header_names_and_counts() {
    envoy(|host| {
        let _ = host.request([("X-Mixed", "1"), ("x-do", "list")]);
        assert!(host.logged("count=6 end=true"));
        assert!(host.logged("names=:method,:path,:scheme,:authority,x-mixed,x-do"));
    });
    kong(|host| {
        let _ = host.request([("X-Mixed", "1"), ("x-do", "list; get x-MIXED; get :authority")]);
        assert!(host.logged("count=3 end=false"));
        assert!(host.logged("names=:method,:path,:scheme,:authority,Host,X-Mixed,x-do"));
        assert!(host.logged("x-MIXED=1"));
        assert!(host.logged(":authority=kong:8000"));
    });
}

#[test]
fn replacing_and_removing_repeated_headers() {
    let headers =
        [("X-A", "1"), ("x-a", "2"), ("x-b", "3"), ("x-do", "set x-a new; remove x-b; get x-b")];
    envoy(|host| {
        let request = host.request(headers);
        assert_eq!(request.upstream_headers("x-a"), ["new"]);
        assert!(request.upstream_headers("x-b").is_empty());
        assert!(host.logged("x-b=none"));
    });
    kong(|host| {
        let request = host.request(headers);
        assert_eq!(request.upstream_headers("x-a"), ["new", "2"]);
        assert_eq!(request.upstream_headers("x-b"), ["3"]);
        // Only the listing hides it: the lookup by name ignores the mark.
        assert!(host.logged("x-b=3"));
    });
}

#[test]
fn removing_then_setting_sends_both_on_kong() {
    let headers = [("x-a", "old"), ("x-do", "remove x-a; list; set x-a new")];
    envoy(|host| assert_eq!(host.request(headers).upstream_headers("x-a"), ["new"]));
    kong(|host| {
        assert_eq!(host.request(headers).upstream_headers("x-a"), ["old", "new"]);
        assert!(host.logged("names=:method,:path,:scheme,:authority,Host,x-do"));
    });
}

#[test]
fn listing_more_than_a_hundred_headers_traps_on_kong() {
    let head = |count: usize| {
        let many = (0..count).fold(Head::get("/"), |head, n| head.header(&format!("x-{n}"), "v"));
        many.header("x-do", "list")
    };
    envoy(|host| assert!(host.send(head(130)).is_forwarded()));
    kong(|host| {
        assert!(host.send(head(98)).is_forwarded());
        assert!(!host.logged("x-97,"), "the tail is silently missing");
        let Outcome::Failed { status: 500, .. } = host.send(head(130)).outcome() else { panic!() };
        assert_broken(host, "proxy_on_request_headers trapped");
        assert!(host.request([]).is_forwarded(), "the next request has a new instance");
    });
}

#[test]
fn bytes_are_kept() {
    both(|host| {
        let request = host.send(Head::get("/").raw_header("x-a", b"\xff\x80"));
        assert_eq!(request.upstream_bytes("x-a"), [b"\xff\x80"]);
    });
}

#[test]
fn a_line_break_in_a_header_is_a_violation() {
    both(|host| {
        let _ = host.request([("x-do", "break")]);
        assert_broken(host, "line break");
    });
}

#[test]
fn pseudo_headers() {
    envoy(|host| {
        let request = host.request([("x-do", "set :path /new")]);
        assert_eq!(request.upstream_headers(":path"), ["/new"]);
    });
    kong(|host| {
        let request =
            host.send(Head::get("/a%2Fb//../c?d=%2F").header("x-do", "get :path; set :path /new"));
        assert!(host.logged(":path=/a/c?d=%2F"), "nginx decodes and normalises");
        assert_eq!(request.upstream_headers(":path"), ["/a%2Fb//../c?d=%2F"]);
        let request = host.request([("x-do", "set-property ngx.upstream_uri /new")]);
        assert_eq!(request.upstream_headers(":path"), ["/new"]);
        let _ = host.request([("x-do", "set :authority x")]);
        assert_broken(host, "read-only");
    });
}

#[test]
fn nginx_refuses_a_repeated_authorization_itself() {
    let headers = [("authorization", "a"), ("Authorization", "b")];
    envoy(|host| assert!(host.request(headers).is_forwarded()));
    kong(|host| assert_eq!(host.request(headers).status(), 400));
}

#[test]
fn a_failed_call_has_no_headers() {
    both(|host| {
        let request = waiting(host, "resume");
        request.answer(Reply::failed());
        assert!(host.logged("heard 0 headers, 0 bytes"));
    });
    envoy(|host| {
        waiting(host, "status").answer(Reply::failed());
        assert_broken(host, "trapped");
    });
    kong(|host| {
        waiting(host, "status").answer(Reply::failed());
        assert!(host.logged("status=none"));
    });
}
