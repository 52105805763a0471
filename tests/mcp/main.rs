//! The example in examples/mcp, whole: a real Envoy with its `mcp` filter and the gateway, a
//! real MCP server that verifies what the gateway gives it, and real clients in Python and
//! TypeScript that have nothing but an address. Then a client that lies.
//!
//! Needs what `.ci/install-mcp` installs, and `make wasm`, or `make native` with
//! `GATEPASS_DOOR=native`.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test may fail"
)]

#[path = "../../examples/shop/stack.rs"]
mod stack;
#[allow(dead_code, reason = "shared with tests/envoy")]
#[path = "../envoy/wire.rs"]
mod wire;

use std::cell::RefCell;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::stack::door::Door;
use crate::stack::envoy;
use crate::stack::ports::Ports;
use crate::wire::{Answer, Connection, Request, Wrong};

/// What the example needs: a Python, and a directory with the TypeScript client. `$MCP_PYTHON`
/// and `$MCP_NODE`, else what `.ci/install-mcp` installs.
fn installed() -> (PathBuf, PathBuf) {
    let named = ["requirements.txt", "package.json"]
        .map(|name| fs::read(envoy::directory().join("examples/mcp").join(name)).unwrap());
    let sum: String =
        Sha256::digest(named.concat()).iter().map(|byte| format!("{byte:02x}")).collect();
    let home = envoy::directory().join(format!("target/mcp-{}", &sum[..12]));
    let find = |variable: &str, mark: &str, path: &str| {
        let set = env::var_os(variable).filter(|it| !it.is_empty());
        set.map_or_else(
            || {
                let hint = "run `make test`, or `.ci/install-mcp` before `cargo test`";
                assert!(home.join(mark).exists(), "no {path} for the MCP example: {hint}");
                home.join(path)
            },
            PathBuf::from,
        )
    };
    let python = find("MCP_PYTHON", "python.done", "python/bin/python");
    (python, find("MCP_NODE", "node.done", "node"))
}

/// The example, running.
struct Example {
    children: Vec<Child>,
    python: PathBuf,
    ports: Ports,
    /// What is printed if something fails: of Envoy, and of the services.
    logs: [PathBuf; 2],
    /// What Envoy must not log.
    secrets: RefCell<Vec<String>>,
}

impl Drop for Example {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            for log in &self.logs {
                eprintln!("--- {}\n{}", log.display(), fs::read_to_string(log).unwrap_or_default());
            }
        }
    }
}

/// The example's configuration with these ports.
fn configuration(ports: Ports) -> String {
    let path = envoy::directory().join("examples/mcp/envoy.yaml");
    let mut config = Door::chosen().translate(&fs::read_to_string(path).unwrap());
    let ports = [
        ("10000", "<listener>", ports.listener),
        ("9901", "<admin>", ports.admin),
        ("9100", "<auth>", ports.auth),
        ("9200", "<server>", ports.upstream),
    ];
    // All of the bundled ones go first: one may be in another's place by then.
    for (bundled, mark, _) in ports {
        assert!(config.contains(bundled), "{bundled}");
        config = config.replace(bundled, mark);
    }
    for (_, mark, own) in ports {
        config = config.replace(mark, &own.to_string());
    }
    config
}

impl Example {
    fn start(python: PathBuf) -> Self {
        let directory = envoy::directory();
        let ports = Ports::unused();
        let file = directory.join(format!("target/mcp-{}.yaml", ports.listener));
        fs::write(&file, configuration(ports)).unwrap();
        let logs = ["envoy", "services"]
            .map(|name| directory.join(format!("target/mcp-{}-{name}.log", ports.listener)));
        let address = format!("http://127.0.0.1:{}", ports.listener);
        let key = stack::keys::p256_pem();
        let lines = key.lines().filter(|line| !line.starts_with('-')).map(str::to_owned);
        let secrets = RefCell::new(lines.collect());
        let mut example = Self { children: Vec::new(), python, ports, logs, secrets };
        example.logs.iter().for_each(|log| fs::write(log, "").unwrap());
        let mut envoy = Command::new(envoy::installed());
        envoy.arg("-c").arg(file).args(["--use-dynamic-base-id", "--concurrency", "2"]);
        envoy.env("GATEPASS_SIGNING_KEY", key);
        envoy.envs(Door::chosen().environment().iter().copied());
        example.spawn(envoy, 0);
        for (script, port) in [("auth.py", ports.auth), ("server.py", ports.upstream)] {
            let mut service = Command::new(&example.python);
            service.arg(directory.join("examples/mcp").join(script));
            service.env("PORT", port.to_string()).env("GATEWAY", &address);
            example.spawn(service, 1);
        }
        for (port, path) in [
            (ports.auth, "/jwks.json"),
            (ports.upstream, "/mcp"),
            (ports.listener, "/.well-known/oauth-protected-resource/mcp"),
        ] {
            let start = Instant::now();
            while TcpStream::connect(("127.0.0.1", port)).is_err()
                || try_send(port, request(port, &format!("GET {path}"))).is_none()
            {
                assert!(start.elapsed() < Duration::from_secs(90), "nobody at {port}");
                thread::sleep(Duration::from_millis(200));
            }
        }
        example
    }

    fn spawn(&mut self, mut command: Command, log: usize) {
        let log = fs::OpenOptions::new().append(true).open(&self.logs[log]).unwrap();
        command.current_dir(envoy::directory()).stdin(Stdio::null());
        let command = command.stdout(log.try_clone().unwrap()).stderr(log);
        self.children.push(command.spawn().unwrap());
    }

    /// What a client printed, line by line.
    fn run(&self, mut client: Command) -> Vec<Value> {
        client.env("GATEWAY", format!("http://127.0.0.1:{}", self.ports.listener));
        let output = client.stdin(Stdio::null()).output().unwrap();
        let [text, errors] =
            [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
        assert!(output.status.success(), "{text}\n{errors}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A request to the gateway: its line, fields as they are written, and its body.
    fn send(&self, line: &str, fields: &str, body: &str) -> Answer {
        let port = self.ports.listener;
        let request = with_fields(request(port, line), fields).with_body(body);
        try_send(port, request).unwrap_or_else(|| panic!("no answer to {line}\n{fields}"))
    }

    /// A token with these scopes, for this resource, as a client gets one.
    fn token(&self, resource: &str, scope: &str) -> String {
        let verifier = "v".repeat(43);
        let challenge = BASE64URL.encode(Sha256::digest(&verifier));
        let port = self.ports.auth;
        let asked = format!(
            "GET /authorize?redirect_uri=http://a&client_id=raw&code_challenge={challenge}&scope={scope}"
        );
        let answer = try_send(port, request(port, &asked)).unwrap();
        let location = answer.header("location").unwrap();
        let code = location.split("code=").nth(1).unwrap().split('&').next().unwrap();
        let form = format!("code={code}&code_verifier={verifier}&resource={resource}");
        let post =
            request(port, "POST /token").with("content-type", "application/x-www-form-urlencoded");
        let answer = try_send(port, post.with_body(&form)).unwrap();
        assert_eq!(answer.status, 200, "{answer}");
        let token = answer.json()["access_token"].as_str().unwrap().to_owned();
        self.secrets.borrow_mut().extend(token.split('.').map(str::to_owned));
        token
    }

    fn resource(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.ports.listener)
    }

    /// Nothing secret is in Envoy's log, and nothing failed in it.
    fn check_log(&self) {
        let log = fs::read_to_string(&self.logs[0]).unwrap();
        assert!(!log.is_empty(), "Envoy logs its start");
        for secret in self.secrets.borrow().iter() {
            assert!(!log.contains(secret), "{secret:?} is in the log");
        }
        for sign in ["eyJ", "panicked", "RuntimeError", "in-VM backtrace", "[critical]"] {
            assert!(!log.contains(sign), "{sign:?} is in the log");
        }
    }
}

fn request(port: u16, line: &str) -> Request {
    Request::bare(format!("{line} HTTP/1.1")).with("host", format!("127.0.0.1:{port}"))
}

/// Fields as they are written, each with its end of line.
fn with_fields(request: Request, fields: &str) -> Request {
    let fields = fields.split_terminator("\r\n").map(|field| field.split_once(": ").unwrap());
    fields.fold(request, |request, (name, value)| request.with(name, value))
}

fn try_send(port: u16, request: Request) -> Option<Answer> {
    Connection::open(port).send(&request.into_bytes())
}

/// Three calls: allowed, stopped by scope and allowed after the client asked for more,
/// and the first again. The server saw the gateway's identity each time.
fn assert_calls(calls: &[Value]) {
    let tools: Vec<_> = calls.iter().map(|call| call["tool"].as_str().unwrap()).collect();
    assert_eq!(tools, ["list_catalog", "place_order", "list_catalog"]);
    let scopes = ["catalog.read", "catalog.read orders.write", "catalog.read orders.write"];
    for (call, scope) in calls.iter().zip(scopes) {
        let identity = &call["identity"];
        assert_eq!(identity["iss"], "https://gateway.shop.internal", "{call}");
        assert_eq!(identity["aud"], "shop-mcp", "{call}");
        assert_eq!(identity["sub"], "alice", "{call}");
        let mut found: Vec<_> = identity["scope"].as_str().unwrap().split(' ').collect();
        found.sort_unstable();
        assert_eq!(found.join(" "), scope, "{call}");
    }
}

#[test]
fn clients_that_know_an_address_only_call_tools() {
    let (python, node) = installed();
    let example = Example::start(python);
    let directory = envoy::directory().join("examples/mcp");
    let mut client = Command::new(&example.python);
    client.arg(directory.join("client.py"));
    assert_calls(&example.run(client));
    // Node.js looks for packages beside the script.
    let script = node.join(format!("client-{}.mjs", example.ports.listener));
    fs::copy(directory.join("client.mjs"), &script).unwrap();
    let mut client = Command::new("node");
    client.arg(&script);
    let calls = example.run(client);
    fs::remove_file(script).unwrap();
    assert_calls(&calls);
    starts_without_a_token(&example);
    lies_about_a_call(&example);
    example.check_log();
}

fn starts_without_a_token(example: &Example) {
    let answer = example.send("POST /mcp", "", "{}");
    // What is no call at all, the filter refuses before.
    assert_eq!(answer.outcome(), "400", "{answer}");
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let answer = example.send("POST /mcp", &format!("{JSON}{OLD}"), &call);
    assert_eq!(answer.outcome(), "401 token_missing", "{answer}");
    let challenge = answer.header("www-authenticate").unwrap();
    let metadata = format!(
        "resource_metadata=\"http://127.0.0.1:{}/.well-known/oauth-protected-resource/mcp\"",
        example.ports.listener
    );
    for parameter in [&metadata, "scope=\"catalog.read\""] {
        assert!(challenge.contains(parameter), "{answer}");
    }
    let answer = example.send("GET /.well-known/oauth-authorization-server", "", "");
    assert_eq!(answer.outcome(), "404", "{answer}");
    // A token for another resource of the same server, and one for none.
    let other = format!("http://127.0.0.1:{}/other", example.ports.listener);
    for resource in [other, "shop-mcp".to_owned()] {
        let token = example.token(&resource, "catalog.read");
        let fields = format!("{JSON}{OLD}authorization: Bearer {token}\r\n");
        let answer = example.send("POST /mcp", &fields, &call);
        assert_eq!(answer.outcome(), "401 audience_mismatch", "{answer}");
    }
}

const JSON: &str =
    "content-type: application/json\r\naccept: application/json, text/event-stream\r\n";
const OLD: &str = "mcp-protocol-version: 2025-11-25\r\n";
const NEW: &str = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\n";

/// The filter `mcp` refuses what is no call, or says two things; what is left lacks a scope.
const FILTER: &str = "400";
const SCOPE: &str = "403 insufficient_scope";

/// A client with a token for the catalog alone calls what needs more, in every way that it
/// may be said.
fn lies_about_a_call(example: &Example) {
    let token = example.token(&example.resource(), "catalog.read");
    let call = |name: &str| {
        let version = "io.modelcontextprotocol/protocolVersion";
        json!({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": name, "arguments": {"item": "cup"},
                "_meta": {version: "2026-07-28",
                    "io.modelcontextprotocol/clientInfo": {"name": "a", "version": "1"},
                    "io.modelcontextprotocol/clientCapabilities": {}}},
        })
        .to_string()
    };
    let (order, list) = (call("place_order"), call("list_catalog"));
    // The harness itself is able to call.
    let bearer = format!("authorization: Bearer {token}\r\n");
    let honest = format!("{JSON}{NEW}mcp-name: list_catalog\r\n{bearer}");
    let body = list.replace("\"arguments\":{\"item\":\"cup\"},", "");
    let answer = example.send("POST /mcp", &honest, &body);
    assert!(answer.status == 200 && answer.to_string().contains("teapot"), "{answer}");

    let twice =
        order.replace(r#""name":"place_order""#, r#""name":"place_order","name":"list_catalog""#);
    let method_twice =
        order.replace(r#""method":"tools/call""#, r#""method":"tools/list","method":"tools/call""#);
    let escaped = order.replace("place_order", r"pl\u0061ce_order");
    let mut late: Value = serde_json::from_str(&list).unwrap();
    late["params"]["arguments"]["pad"] = json!("x".repeat(70_000));
    let late = late.to_string().replacen("list_catalog", "place_order", 1);
    let padded = format!("{{\"pad\":\"{}\",{}", "x".repeat(70_000), &order[1..]);
    let batch = format!("[{order}]");
    let utf16: String = order.chars().flat_map(|c| [c, '\0']).collect();
    let name = |name: &str| format!("{JSON}{NEW}mcp-name: {name}\r\n");
    let text = name("list_catalog").replace("application/json\r\naccept", "text/plain\r\naccept");
    let without_stream = name("list_catalog").replace(", text/event-stream", "");
    let base64 = name("=?base64?cGxhY2Vfb3JkZXI=?=");
    let twice_named = format!("{}mcp-name: place_order\r\n", name("list_catalog"));
    let future = name("list_catalog").replace("2026-07-28", "2099-01-01");
    let old = format!("{JSON}{OLD}");
    let lies = [
        ("honest", "/mcp", name("place_order"), &order, SCOPE),
        ("another name", "/mcp", name("list_catalog"), &order, FILTER),
        ("the name encoded", "/mcp", base64, &order, SCOPE),
        ("two names", "/mcp", twice_named, &order, FILTER),
        ("an old version", "/mcp", format!("{JSON}{OLD}mcp-name: list_catalog\r\n"), &order, SCOPE),
        ("no version", "/mcp", JSON.to_owned(), &order, SCOPE),
        ("a version to come", "/mcp", future, &order, SCOPE),
        ("no JSON by its type", "/mcp", text, &order, FILTER),
        ("no stream", "/mcp", without_stream, &order, FILTER),
        ("a batch", "/mcp", old.clone(), &batch, FILTER),
        ("the name twice", "/mcp", old.clone(), &twice, FILTER),
        ("the method twice", "/mcp", old.clone(), &method_twice, FILTER),
        ("escaped", "/mcp", old.clone(), &escaped, SCOPE),
        ("long", "/mcp", old.clone(), &late, FILTER),
        ("after something long", "/mcp", old.clone(), &padded, FILTER),
        ("another charset", "/mcp", old.clone(), &utf16, FILTER),
        ("with a slash", "/mcp/", old.clone(), &order, SCOPE),
        ("twice a slash", "//mcp", old.clone(), &order, SCOPE),
        ("with a query", "/mcp?x=1", old, &order, SCOPE),
    ];
    let mut wrong = Wrong::default();
    let served = |answer: &Answer| answer.header("x-envoy-upstream-service-time").is_some();
    assert!(served(&answer), "the server answers what is honest: {answer}");
    for (case, path, fields, body, expected) in lies {
        let answer = example.send(&format!("POST {path}"), &format!("{fields}{bearer}"), body);
        wrong.compare(case, expected, &answer);
        assert!(!served(&answer), "{case}: {answer}");
    }
    // By another method there is no call.
    let fields = format!("{}mcp-session-id: a\r\n{bearer}", name("list_catalog"));
    for (method, expected) in [("GET", "405"), ("PUT", FILTER), ("DELETE", "405")] {
        let answer = example.send(&format!("{method} /mcp"), &fields, &order);
        wrong.compare(method, expected, &answer);
        assert!(!served(&answer), "{method}: {answer}");
    }
    wrong.assert_none();
}
