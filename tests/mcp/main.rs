//! The example in examples/mcp, whole: a real Envoy with its `mcp` filter and the gateway, a
//! real MCP server that verifies what the gateway gives it, and real clients in Python and
//! TypeScript that have nothing but an address. Then a client that lies.
//!
//! Installs what it needs by itself, see `.ci/install-mcp`; where that cannot be had it says
//! so and tests nothing. Needs `make wasm`, or `make native` with `GATEPASS_DOOR=native`.

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

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::stack::door::Door;
use crate::stack::envoy;

/// What the example needs, where it can be had: a Python, and a directory with the
/// TypeScript client.
fn installed() -> Option<(String, Option<String>)> {
    let script = envoy::directory().join(".ci/install-mcp");
    let output = Command::new(script).stderr(Stdio::inherit()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines().map(str::to_owned);
    let python = lines.next().filter(|_| output.status.success())?;
    Some((python, lines.next().filter(|node| !node.is_empty())))
}

/// The example, running.
struct Example {
    children: Vec<Child>,
    python: String,
    gateway: u16,
    auth: u16,
    /// What is printed if something fails.
    log: PathBuf,
}

impl Drop for Example {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("{}", fs::read_to_string(&self.log).unwrap_or_default());
        }
    }
}

/// Ports that nobody has now.
fn ports<const N: usize>() -> [u16; N] {
    let taken: Vec<_> = (0..N).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    std::array::from_fn(|n| taken[n].local_addr().unwrap().port())
}

impl Example {
    fn start(python: String) -> Self {
        let directory = envoy::directory();
        let [gateway, admin, auth, mcp] = ports();
        let config = fs::read_to_string(directory.join("examples/mcp/envoy.yaml")).unwrap();
        let mut config = Door::chosen().translate(&config);
        for (bundled, own) in [("10000", gateway), ("9901", admin), ("9100", auth), ("9200", mcp)] {
            assert!(config.contains(bundled), "{bundled}");
            config = config.replace(bundled, &own.to_string());
        }
        let file = directory.join(format!("target/mcp-{gateway}.yaml"));
        fs::write(&file, config).unwrap();
        let log = directory.join(format!("target/mcp-{gateway}.log"));
        let address = format!("http://127.0.0.1:{gateway}");
        let mut example = Self { children: Vec::new(), python, gateway, auth, log };
        let key = stack::keys::p256_pem();
        let mut envoy = Command::new(envoy::installed());
        envoy.arg("-c").arg(file).args(["--use-dynamic-base-id", "--concurrency", "2"]);
        envoy.env("GATEPASS_SIGNING_KEY", key);
        envoy.envs(Door::chosen().environment().iter().copied());
        example.spawn(envoy);
        for (script, port) in [("auth.py", auth), ("server.py", mcp)] {
            let mut service = Command::new(&example.python);
            service.arg(directory.join("examples/mcp").join(script));
            service.env("PORT", port.to_string()).env("GATEWAY", &address);
            example.spawn(service);
        }
        for (port, path) in [
            (auth, "/jwks.json"),
            (mcp, "/mcp"),
            (gateway, "/.well-known/oauth-protected-resource/mcp"),
        ] {
            let start = Instant::now();
            while try_send(port, &format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"), "")
                .is_none()
            {
                assert!(start.elapsed() < Duration::from_secs(90), "nobody at {port}");
                thread::sleep(Duration::from_millis(200));
            }
        }
        example
    }

    fn spawn(&mut self, mut command: Command) {
        let mut open = fs::OpenOptions::new();
        let log = open.create(true).append(true).open(&self.log).unwrap();
        command.current_dir(envoy::directory()).stdin(Stdio::null());
        let command = command.stdout(log.try_clone().unwrap()).stderr(log);
        self.children.push(command.spawn().unwrap());
    }

    /// What a client printed, line by line.
    fn run(&self, mut client: Command) -> Vec<Value> {
        client.env("GATEWAY", format!("http://127.0.0.1:{}", self.gateway));
        let output = client.stdin(Stdio::null()).output().unwrap();
        let [text, errors] =
            [output.stdout, output.stderr].map(|it| String::from_utf8_lossy(&it).into_owned());
        assert!(output.status.success(), "{text}\n{errors}");
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A request to the gateway: its status, its head and its body.
    fn send(&self, head: &str, body: &str) -> (u16, String, String) {
        let host = format!("host: 127.0.0.1:{}\r\n", self.gateway);
        let (line, rest) = head.split_once("\r\n").unwrap();
        let head = format!("{line}\r\n{host}{rest}");
        try_send(self.gateway, &head, body).unwrap_or_else(|| panic!("no answer to {head}"))
    }

    /// A token with these scopes, for this resource, as a client gets one.
    fn token(&self, resource: &str, scope: &str) -> String {
        let verifier = "v".repeat(43);
        let challenge = BASE64URL.encode(Sha256::digest(&verifier));
        let port = self.auth;
        let head = |line: &str| format!("{line} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n");
        let asked = format!(
            "GET /authorize?redirect_uri=http://a&client_id=raw&code_challenge={challenge}&scope={scope}"
        );
        let (_, answer, _) = try_send(port, &head(&asked), "").unwrap();
        let code = answer.split("code=").nth(1).unwrap().split('&').next().unwrap();
        let form = format!("code={code}&code_verifier={verifier}&resource={resource}");
        let post = "POST /token HTTP/1.1\r\ncontent-type: application/x-www-form-urlencoded\r\n";
        let post = format!("{post}host: 127.0.0.1:{port}\r\n");
        let (status, _, body) = try_send(port, &post, &form).unwrap();
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        body["access_token"].as_str().unwrap().to_owned()
    }

    fn resource(&self) -> String {
        format!("http://127.0.0.1:{}/mcp", self.gateway)
    }
}

fn try_send(port: u16, head: &str, body: &str) -> Option<(u16, String, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let length = format!("content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all(format!("{head}{length}{body}").as_bytes()).ok()?;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    // Chunked: the JSON in it is what counts.
    let json = body.find('{').zip(body.rfind('}')).map(|(start, end)| &body[start..=end]);
    Some((status, head.to_owned(), json.unwrap_or(body).to_owned()))
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
    let Some((python, node)) = installed() else {
        eprintln!("skipped: FastMCP is not to be had here");
        return;
    };
    let example = Example::start(python);
    let directory = envoy::directory().join("examples/mcp");
    let mut client = Command::new(&example.python);
    client.arg(directory.join("client.py"));
    assert_calls(&example.run(client));
    match node {
        Some(node) => {
            // Node.js looks for packages beside the script.
            let script = PathBuf::from(&node).join("client.mjs");
            fs::copy(directory.join("client.mjs"), &script).unwrap();
            let mut client = Command::new("node");
            client.arg(script);
            assert_calls(&example.run(client));
        }
        None => eprintln!("skipped: the TypeScript client is not to be had here"),
    }
    starts_without_a_token(&example);
    lies_about_a_call(&example);
}

fn starts_without_a_token(example: &Example) {
    let (status, head, _) = example.send("POST /mcp HTTP/1.1\r\n", "{}");
    // What is no call at all, the filter refuses before.
    assert_eq!(status, 400, "{head}");
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let head = format!("POST /mcp HTTP/1.1\r\n{JSON}{OLD}");
    let (status, head, _) = example.send(&head, &call);
    assert_eq!(status, 401, "{head}");
    let metadata = format!(
        "resource_metadata=\"http://127.0.0.1:{}/.well-known/oauth-protected-resource/mcp\"",
        example.gateway
    );
    assert!(head.contains(&metadata) && head.contains("scope=\"catalog.read\""), "{head}");
    let path = "GET /.well-known/oauth-authorization-server HTTP/1.1\r\n";
    assert_eq!(example.send(path, "").0, 404);
    // A token for another resource of the same server, and one for none.
    for resource in [format!("http://127.0.0.1:{}/other", example.gateway), "shop-mcp".to_owned()] {
        let token = example.token(&resource, "catalog.read");
        let bearer = format!("authorization: Bearer {token}\r\n");
        let head = format!("POST /mcp HTTP/1.1\r\n{JSON}{OLD}{bearer}");
        let (status, head, body) = example.send(&head, &call);
        assert_eq!(status, 401, "{head}\n{body}");
        assert!(body.contains("audience_mismatch"), "{body}");
    }
}

const JSON: &str =
    "content-type: application/json\r\naccept: application/json, text/event-stream\r\n";
const OLD: &str = "mcp-protocol-version: 2025-11-25\r\n";
const NEW: &str = "mcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call\r\n";

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
    let honest = format!("POST /mcp HTTP/1.1\r\n{JSON}{NEW}mcp-name: list_catalog\r\n{bearer}");
    let (status, _, body) =
        example.send(&honest, &list.replace("\"arguments\":{\"item\":\"cup\"},", ""));
    assert!(status == 200 && body.contains("teapot"), "{status} {body}");

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
    let lies = [
        ("honest", "/mcp", name("place_order"), &order),
        ("another name", "/mcp", name("list_catalog"), &order),
        ("the name encoded", "/mcp", base64, &order),
        ("two names", "/mcp", format!("{}mcp-name: place_order\r\n", name("list_catalog")), &order),
        ("an old version", "/mcp", format!("{JSON}{OLD}mcp-name: list_catalog\r\n"), &order),
        ("no version", "/mcp", JSON.to_owned(), &order),
        (
            "a version to come",
            "/mcp",
            name("list_catalog").replace("2026-07-28", "2099-01-01"),
            &order,
        ),
        ("no JSON by its type", "/mcp", text, &order),
        ("no stream", "/mcp", without_stream, &order),
        ("a batch", "/mcp", format!("{JSON}{OLD}"), &batch),
        ("the name twice", "/mcp", format!("{JSON}{OLD}"), &twice),
        ("the method twice", "/mcp", format!("{JSON}{OLD}"), &method_twice),
        ("escaped", "/mcp", format!("{JSON}{OLD}"), &escaped),
        ("long", "/mcp", format!("{JSON}{OLD}"), &late),
        ("after something long", "/mcp", format!("{JSON}{OLD}"), &padded),
        ("another charset", "/mcp", format!("{JSON}{OLD}"), &utf16),
        ("with a slash", "/mcp/", format!("{JSON}{OLD}"), &order),
        ("twice a slash", "//mcp", format!("{JSON}{OLD}"), &order),
        ("with a query", "/mcp?x=1", format!("{JSON}{OLD}"), &order),
    ];
    for (case, path, fields, body) in lies {
        let head = format!("POST {path} HTTP/1.1\r\n{fields}{bearer}");
        let (status, head, answer) = example.send(&head, body);
        assert!((400..500).contains(&status), "{case}: {status} {head}\n{answer}");
        assert!(
            !answer.contains("\"tool\"") && !answer.contains("\\\"tool\\\""),
            "{case}: {answer}"
        );
    }
    // By another method there is no call.
    for method in ["GET", "PUT", "DELETE"] {
        let head = format!(
            "{method} /mcp HTTP/1.1\r\n{}mcp-session-id: a\r\n{bearer}",
            name("list_catalog")
        );
        let (_, _, answer) = example.send(&head, &order);
        assert!(!answer.contains("place_order"), "{method}: {answer}");
    }
}
