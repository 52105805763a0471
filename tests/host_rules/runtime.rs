//! Start, ticks, properties, shared state, traps.

use crate::host::{Engine, Host, Outcome, Profile, Reply};
use crate::{FILTER, assert_broken, both, envoy, kong, waiting};

#[test]
fn properties() {
    envoy(|host| {
        host.set_property("request.id", "7");
        let _ = host
            .request([("x-do", "property xds.node; property kong.version; property request.id")]);
        assert!(host.logged("xds.node=Ok(\"\\n\\u{5}envoy\")"));
        assert!(host.logged("kong.version=Ok(\"none\")"));
        assert!(host.logged("request.id=Ok(\"7\")"));
    });
    kong(|host| {
        let script = "property xds.node; property kong.version; property ngx.upstream_scheme";
        let _ = host.request([("x-do", script)]);
        assert!(host.logged("xds.node=Ok(\"none\")"));
        assert!(host.logged("kong.version=Ok(\"3.9.3\")"));
        assert!(host.logged("ngx.upstream_scheme=Ok(\"http\")"));
        assert_eq!(host.request([("x-do", "set-property foo.bar 1")]).status(), 500);
        assert_broken(host, "trapped");
    });
}

#[test]
fn properties_in_a_root_context() {
    envoy(|host| assert!(host.configure("property kong.version".into())));
    kong(|host| {
        assert!(
            host.configure(
                "property xds.node; property kong.version; property request.path".into()
            )
        );
        assert!(host.logged("xds.node=Ok(\"none\")"));
        assert!(host.logged("kong.version=Err(InternalFailure)"));
        assert!(host.logged("request.path=Err(InternalFailure)"));
    });
    kong(|host| {
        assert!(!host.configure("property plugin_name".into()));
        assert_broken(host, "worker crashes");
    });
}

#[test]
fn traps() {
    envoy(|host| {
        let hanging = waiting(host, "resume");
        assert_eq!(host.request([("x-do", "panic")]).status(), 503);
        assert_eq!(host.request([]).status(), 503, "every later stream");
        hanging.answer(Reply::ok(""));
        assert!(hanging.is_paused());
        assert_broken(host, "told to");
    });
    kong(|host| {
        let hanging = waiting(host, "reply");
        assert_eq!(host.request([("x-do", "panic")]).status(), 500);
        assert!(host.request([]).is_forwarded());
        hanging.answer(Reply::ok(""));
        let Outcome::Forwarded { failed_open: Some(why), .. } = hanging.outcome() else {
            panic!("the new instance does not know the old token")
        };
        assert!(why.contains("trap"));
        assert_broken(host, "invalid token_id");
    });
}

#[test]
fn a_refused_configuration() {
    envoy(|host| assert!(!host.configure("refuse".into())));
    kong(|host| {
        assert!(!host.configure("refuse".into()));
        assert!(!host.request([]).is_forwarded());
        assert_eq!(host.request([]).status(), 200);
    });
}

#[test]
fn ticks_and_background_calls() {
    both(|host| {
        assert!(host.configure("ticking: dispatch known.example:80".into()));
        assert_eq!(host.tick_period_ms(), Some(1000));
        host.advance(999);
        assert!(host.background_callouts().is_empty());
        host.advance(1);
        let callout = host.background_callouts().remove(0);
        callout.answer(Reply::ok("{}"));
        assert!(host.logged("root heard"));
        host.tick();
        assert_eq!(host.background_callouts().len(), 1);
        host.advance(1000);
        assert!(host.logged("0 headers"), "the callout timed out after a second");
    });
}

#[test]
fn a_second_tick_period() {
    envoy(|host| assert!(host.configure("tick; tick".into())));
    kong(|host| {
        assert!(!host.configure("tick; tick".into()));
        assert_broken(host, "tick_period already set");
    });
}

#[test]
fn shared_data() {
    envoy(|host| {
        let _ = host.request([("x-do", "share plumless 1; share plumless 2; shared buckeroo")]);
        assert!(host.logged("buckeroo=none"));
    });
    kong(|host| {
        assert_eq!(host.request([("x-do", "shared a")]).status(), 500);
        assert_broken(host, "shm_kv");
    });
    kong(|host| {
        host.with_shm_kv();
        let _ = host.request([("x-do", "share plumless 1; shared buckeroo")]);
        assert!(host.logged("buckeroo=1"), "keys are compared by CRC32");
    });
}

#[test]
fn metrics() {
    both(|host| {
        let _ = host.request([("x-do", "count a; count a")]);
        assert_eq!(host.metric("a"), 4);
    });
    kong(|host| {
        assert_eq!(host.request([("x-do", "record a")]).status(), 500);
        assert_broken(host, "not of the kind");
    });
}

#[test]
fn calls_that_only_kong_lacks() {
    for command in ["foreign", "done"] {
        kong(|host| {
            assert_eq!(host.request([("x-do", command)]).status(), 500);
            assert_broken(host, "not implemented by Kong's runtime");
        });
    }
    envoy(|host| assert!(host.request([("x-do", "done")]).is_forwarded()));
}

#[test]
fn environment_and_clock() {
    both(|host| {
        host.env("HOST_RULES_PROBE", "secret");
        host.set_now(1_800_000_000);
        let _ = host.request([("x-do", "env HOST_RULES_PROBE; time")]);
        assert!(host.logged("env=Some(\"secret\")"));
        assert!(host.logs().iter().any(|line| line.text.contains("1800000000")));
    });
}

#[test]
#[should_panic(expected = "the filter broke rules of its host")]
fn a_broken_rule_fails_the_test() {
    let host = Host::new(FILTER, Engine::Native, Profile::Envoy);
    let _ = host.request([("x-do", "break")]);
    host.finish();
}

// draft-ietf-oauth-transaction-tokens: "Complete Txn-Tokens MUST NOT be logged
// verbatim." (R69)
#[test]
fn what_leaks_is_found() {
    const SECRET: &str = "a-secret-of-the-client-0123456789";
    for (place, script) in [
        ("nowhere", "get accept"),
        ("a log line", "get authorization"),
        ("a metric", &format!("count {SECRET}")),
    ] {
        both(|host| {
            let bearer = format!("Bearer {SECRET}");
            let _ = host.request([("authorization", &*bearer), ("accept", "x"), ("x-do", script)]);
            let leaks = host.take_leaks();
            let found: Vec<_> =
                leaks.iter().map(|leak| leak.split(" holds").next().unwrap()).collect();
            let expected: &[&str] = if place == "nowhere" { &[] } else { &[place] };
            assert_eq!(found, expected, "{script}");
        });
    }
}
