//! Callouts, local responses, and what ends a request.

use crate::host::{Outcome, Reply};
use crate::{assert_broken, both, envoy, kong, waiting};

#[test]
fn a_callout_is_answered() {
    both(|host| {
        let request = waiting(host, "status; resume");
        assert!(request.is_paused());
        assert_eq!(request.callout().upstream, "known.example:80");
        assert_eq!(request.callout().timeout_ms, 1000);
        request.answer(Reply::ok("{}"));
        assert!(host.logged("status=200") && host.logged("body={}"));
        assert!(request.is_forwarded());
    });
    kong(|host| {
        waiting(host, "resume").answer(Reply::ok("{}"));
        assert!(host.logged("dispatched=Ok(0)"), "0 is a token");
    });
}

#[test]
fn a_request_left_waiting_after_its_reply() {
    envoy(|host| {
        let request = waiting(host, "");
        request.answer(Reply::ok("{}"));
        assert!(request.is_paused(), "Envoy waits for ever");
    });
    kong(|host| {
        let request = waiting(host, "");
        request.answer(Reply::ok("{}"));
        assert!(request.is_forwarded(), "Kong goes on by itself");
        let request = waiting(host, "dispatch known.example:80");
        request.answer(Reply::ok("{}"));
        assert!(request.is_paused(), "unless there is one more callout");
        request.reset();
    });
}

#[test]
fn dispatch_errors() {
    envoy(|host| {
        for command in ["unknown", "known :method", "known :path", "known :authority"] {
            let _ = host.request([("x-do", &format!("dispatch {command}"))]);
        }
        assert_eq!(
            host.logs().iter().filter(|line| line.text.contains("Err(BadArgument)")).count(),
            4
        );
    });
    for command in ["a :method", "a :path", "http://a", "a:99999", "a:x"] {
        kong(|host| {
            let request = host.request([("x-do", &format!("dispatch {command}; pause"))]);
            assert_eq!(request.status(), 500, "{command}");
            assert_broken(host, "dispatch failed");
        });
    }
    for upstream in ["a", "a:80", "127.0.0.1:1", "[::1]:8080", "unix:/tmp/s"] {
        kong(|host| {
            let request =
                host.request([("x-do", &format!("dispatch {upstream} :authority; pause"))]);
            assert!(request.is_paused(), "{upstream}");
        });
    }
    kong(|host| {
        assert!(!host.configure("dispatch a".into()), "not in on_configure");
        assert_broken(host, "can only send HTTP dispatch");
        let Outcome::Forwarded { failed_open: Some(_), .. } = host.request([]).outcome() else {
            panic!("Kong passes requests by a filter that did not start")
        };
    });
}

#[test]
fn dispatch_then_continue() {
    envoy(|host| assert!(host.request([("x-do", "dispatch known")]).is_forwarded()));
    kong(|host| {
        let _ = host.request([("x-do", "dispatch known")]);
        assert_broken(host, "worker crashes: dispatch, then Continue");
    });
}

#[test]
fn a_local_response() {
    envoy(|host| {
        let reply = host.request([("x-do", "reply")]).reply();
        assert_eq!((reply.status, reply.text().as_str()), (403, "no"));
        assert_eq!(reply.headers.iter().filter(|(name, _)| name == "www-authenticate").count(), 2);
    });
    kong(|host| {
        let reply = host.request([("x-do", "reply")]).reply();
        assert_eq!(reply.text(), "no\n");
        assert_eq!(reply.headers, [("www-authenticate".to_owned(), b"b".to_vec())]);
    });
}

#[test]
fn a_second_local_response() {
    envoy(|host| {
        assert_eq!(host.request([("x-do", "reply; reply")]).status(), 403);
        assert_broken(host, "second local response");
    });
    kong(|host| {
        assert_eq!(host.request([("x-do", "reply; reply")]).status(), 500);
        assert_broken(host, "already stashed");
    });
}

#[test]
fn a_local_response_in_a_call_reply_and_the_other_callouts() {
    both(|host| {
        let script = "dispatch known.example:80; dispatch known.example:80; pause";
        let request = host.request([("x-do", script), ("x-then", "reply")]);
        request.callouts().remove(0).answer(Reply::ok(""));
        assert_eq!(request.reply().status, 403);
        // Envoy sees them out.
        assert_eq!(host.callouts().is_empty(), host.is_kong());
    });
}

#[test]
fn edits_after_the_request_went_on() {
    envoy(|host| {
        let request = waiting(host, "resume; set x-a 1");
        request.answer(Reply::ok(""));
        assert!(request.is_forwarded());
    });
    envoy(|host| {
        let request = waiting(host, "reply; resume");
        request.answer(Reply::ok(""));
        assert_broken(host, "continued all the same");
    });
}

#[test]
fn the_dead_man_switch_on_kong() {
    kong(|host| {
        let script = "set-property ngx.upstream_scheme denied; dispatch a; pause";
        let request = host.request([("x-do", script), ("x-then", "panic")]);
        request.answer(Reply::ok(""));
        assert_eq!(request.status(), 500);
        assert_broken(host, "told to");
        let then = "set-property ngx.upstream_scheme http; resume";
        let request = host.request([("x-do", script), ("x-then", then)]);
        request.answer(Reply::ok(""));
        assert!(request.is_forwarded());
    });
}

#[test]
fn acting_for_another_request() {
    envoy(|host| {
        let first = host.request([("x-do", "pause")]);
        let _ = host.request([("x-do", "as 2; resume")]);
        assert!(first.is_forwarded());
        assert_eq!(host.request([("x-do", "as 99")]).status(), 503);
        assert_broken(host, "BadArgument");
    });
    kong(|host| {
        let first = host.request([("x-do", "pause")]);
        let _ = host.request([("x-do", "as 2; resume; as 99")]);
        assert!(first.is_paused());
    });
}

#[test]
fn a_client_that_goes_away_and_its_callout() {
    kong(|host| {
        let request = waiting(host, "resume");
        request.reset();
        assert!(host.callouts().is_empty());
        assert!(host.logged("closed"));
    });
    envoy(|host| {
        let request = waiting(host, "resume");
        request.reset();
        assert!(host.logged("closed"));
        // It goes on, but the SDK knows nobody to give the reply to.
        host.callouts().remove(0).answer(Reply::ok("{}"));
        assert!(!request.is_forwarded());
    });
}
