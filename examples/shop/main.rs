//! A shop with Gatepass in front: Envoy with `envoy/envoy.yaml`, an auth service,
//! a user-info service, and the services that the shop is made of, which ask
//! nobody who their user is.
//!
//! `make run` builds the module, installs Envoy and starts this. The services
//! can also be made to fail, see [`fault`](stack::fault).

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "the rules of the filter, which must not fail; an example may"
)]

// The path makes the module's files those beside this one, for the tests too.
#[path = "stack.rs"]
mod stack;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

use stack::door::Door;
use stack::ports::Ports;
use stack::{Options, Stack, StartError};
use tokio::signal::unix::{SignalKind, signal};

const USAGE: &str = "usage: shop [--port FIRST | --services | --envoy-config]

  --port FIRST  Envoy listens on FIRST; auth, users, upstream, Envoy's admin
                interface, the shop's other services, the page's switches and the
                gateway by the other door on the eleven ports after it; 0 takes
                any free ports. Without it, the ports of envoy/envoy.yaml are
                used.
  --services    start the services only, for an Envoy that is started elsewhere
  --envoy-config
                print the configuration for that Envoy

environment:
  ENVOY                 path of the Envoy to start; default: envoy on PATH
  GATEPASS_DOOR         wasm (default), or native: the module that
                        `make native` builds, with envoy/envoy-native.yaml
  GATEPASS_SIGNING_KEY  the gateway's key, a P-256 key as PKCS#8 PEM;
                        default: a new one; `make run` keeps one
  USERS_API_KEY         what the user-info service asks for; default: a new one";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let is_elsewhere = arguments == ["--services"];
    let ports = match arguments[..] {
        ["--envoy-config"] => return print_config(),
        [] | ["--services"] => Some(Ports::BUNDLED),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        ["--port", "0"] => Ports::free().ok(),
        ["--port", first] => first.parse().ok().and_then(Ports::from_first),
        _ => None,
    };
    let Some(ports) = ports else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };

    let envoy = env::var_os("ENVOY").map_or_else(|| PathBuf::from("envoy"), PathBuf::from);
    let options = Options {
        ports,
        envoy: (!is_elsewhere).then_some(envoy),
        door: Door::chosen(),
        both_doors: true,
        signing_key: env::var("GATEPASS_SIGNING_KEY").ok(),
        users_api_key: env::var("USERS_API_KEY").ok(),
        envoy_log: None,
    };
    // Leaving the block drops the stack, and with it Envoy, wherever it is.
    let outcome = tokio::select! {
        biased;
        () = interrupted() => Ok(()),
        outcome = run(options) => outcome,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("shop: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print_config() -> ExitCode {
    match stack::envoy::whole() {
        Ok(config) => {
            println!("{config}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("shop: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<(), StartError> {
    let ports = options.ports;
    let mut stack = Stack::start(options).await?;
    stack.ready().await?;
    println!("{}", instructions(ports, stack.other_door()));
    Err(stack.ended().await)
}

/// Ctrl-C, `kill`, or the terminal closed.
async fn interrupted() {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be watched");
    let mut hang_up = signal(SignalKind::hangup()).expect("signals can be watched");
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}

fn instructions(ports: Ports, other: Result<u16, Door>) -> String {
    let other = match other {
        Ok(port) => format!("The gateway by the other door: http://127.0.0.1:{port}"),
        Err(door) => {
            format!("For the {} beside it: {}, then start again.", door.name(), door.target())
        }
    };
    let Ports { listener, auth, users, upstream, admin, .. } = ports;
    let gateway = format!("http://127.0.0.1:{listener}");
    format!(
        r#"
The shop is open: {gateway}
Users: alice/wonderland (premium, Spain), bob/builder (standard, Japan),
carol/partner (by a partner's application), dave/delivery (by an application that may
only GET /catalog).
{other}
Behind Gatepass: auth :{auth}, users :{users}, upstream :{upstream}; Envoy's admin interface :{admin}.

Or without a browser:

1. Log in; the client gets an access token:

  TOKEN=$(curl -s {gateway}/login -H 'Content-Type: application/json' -d '{{"username":"alice","password":"wonderland"}}' | sed 's/.*"access_token":"\([^"]*\)".*/\1/')

2. Call with it; the answer is what the upstream received, and the identity it verified:

  curl -s {gateway}/orders -H "Authorization: Bearer $TOKEN"

3. Forge a consumer and the token's signature:

  curl -si {gateway}/orders -H 'X-Consumer-Username: root' -H "Authorization: Bearer ${{TOKEN%????}}AAAA"

4. The keys with which services verify the identity:

  curl -s {gateway}/.well-known/gatepass/jwks.json

Ctrl-C stops everything."#
    )
}
