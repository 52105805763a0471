//! What the filter does on its hosts: every scenario runs natively and on the
//! built module, on Envoy and on Kong.
//!
//! After each of them the harness looks for broken rules of the host and for
//! secrets in log lines and answers; see `tests/host`. Where the facts are that
//! decided the design:
//!
//! | fact about the hosts | scenarios |
//! |---|---|
//! | Envoy reads one value of a repeated header (E1); Kong removes none and sets the first (K0) | `hygiene::a_forged_header_*`, `a_repeated_forged_header_*` |
//! | edits after a request went on are lost (E2) | the harness: an edit then is refused |
//! | a call that cannot be sent (E5), or brings no `:status` (E6) | `user_info::a_service_that_cannot_be_called_*`, `a_failure_is_503_*`, `keys::*` |
//! | a trap ends the VM (E8), on Kong it lets waiting requests pass (K00) | `waiting::a_trap_of_another_*`, `a_waiting_request_is_guarded_*` |
//! | listing more than 100 headers traps on Kong (K00) | `limits::*` |
//! | a filter that fails to start is skipped (K01), an empty list is `{}` | `configuration::*` |
//! | dispatch, then continue, crashes the worker (K01) | the harness: every scenario that waits |
//! | no other request's context (K1), and none from a tick | `waiting::requests_of_one_user_*`, `a_reply_that_drips_*` |
//! | one tick period (K2); no callout while starting | `configuration::the_tick_*`, `keys::keys_are_fetched_*` |
//! | upstream is a cluster or `host:port`, TLS by `:scheme` (K3) | `main_path::user_info_is_asked_*` |
//! | no end of stream on headers (K4) | `waiting::a_request_with_a_body_*` |
//! | a second local reply traps (K5) | the harness; `random::*` |
//! | `:path` is decoded on Kong, `:authority` its own name | `paths::*`, `access::*` |
//! | nginx cuts lines of its log | `configuration::many_problems_*` |
//! | one instance for all routes of Kong | `plugins::*` |
//! | a byte above 0x7F traps the SDK's string getters (S1, S4) | `hygiene::a_byte_above_*`, `user_info::a_reply_may_hold_*` |
//! | a reply of the filter has one field of a name on Kong | `sealed_tokens::more_than_one_cookie` |
//! | shared data traps or lies, other calls trap on Kong | the harness: none is called there; `module_imports` |
//! | WASI randomness is no secret | `signatures`: signing takes none |
#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unsafe_code,
    reason = "test code may fail loudly"
)]

#[path = "../host/mod.rs"]
mod host;
#[path = "../protobuf/mod.rs"]
mod protobuf;

mod access;
mod access_log;
mod any_order;
mod as_they_come;
mod bound;
mod configuration;
mod denials;
mod dice;
mod filter;
mod host_failures;
mod hygiene;
mod keys;
#[allow(dead_code)]
#[path = "../cli/kinds.rs"]
mod kinds;
mod kong_jwt;
mod limits;
mod main_path;
mod metrics;
mod paths;
mod plugins;
mod random;
mod reference_tokens;
mod revocation;
mod sealed_tokens;
mod shadow;
mod shop;
mod signals;
mod trailers;
mod txn_token;
mod user_info;
mod waiting;

use filter::FILTER;
