//! The feed in `examples/revocation-feed`: its schema is what the gateway reads,
//! and its server keeps to it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use gatepass::revocation::Entry;

const DIRECTORY: &str = concat!(env!("CARGO_WORKSPACE_DIR"), "/examples/revocation-feed");

fn schema() -> jsonschema::Validator {
    let schema: Value =
        serde_json::from_str(&super::read("examples/revocation-feed/page.schema.json")).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

/// What the schema says of an entry, the gateway says too.
#[test]
fn the_schema_is_what_the_gateway_reads() {
    let schema = schema();
    for (entry, expected) in [
        (json!({"jti": "1"}), true),
        (json!({"sub": "alice", "issued_before": 7.5, "until": 9, "iss": "i"}), true),
        (json!({"sid": "s", "until": 1e11}), true),
        (json!({"client_id": "web"}), true),
        (json!({"client_id": ""}), false),
        (json!({"until": 9}), false),
        (json!({"sub": "a", "jti": "b"}), false),
        (json!({"jti": "1", "issued_before": 9}), false),
        (json!({"sub": 7}), false),
        (json!({"sub": "a", "until": 1_795_864_624_537_i64}), false),
        (json!({"sub": "a", "unitl": 9}), false),
        (json!([]), false),
    ] {
        let page = json!({"cursor": "1", "entries": [entry]});
        assert_eq!(schema.is_valid(&page), expected, "the schema: {entry}");
        assert_eq!(Entry::read(&entry).is_ok(), expected, "the gateway: {entry}");
    }
    for page in [
        json!({"entries": []}),
        json!({"cursor": 1, "entries": []}),
        json!({"cursor": "1"}),
        json!({"cursor": "1", "entries": [], "more": 1}),
    ] {
        assert!(!schema.is_valid(&page), "{page}");
    }
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start() -> Self {
        let mut command = Command::new("python3");
        command.args(["server.py", "0"]).current_dir(DIRECTORY).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::null()).spawn().expect("python3 is installed");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().strip_prefix("http://");
        let address = address.and_then(|address| address.strip_suffix("/revocations"));
        let address = address.expect("the server prints its address").to_owned();
        Self { child, address }
    }

    fn ask(&self, method: &str, query: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} /revocations{query} HTTP/1.0\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_default())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn the_server_does_what_a_feed_must() {
    let server = Server::start();
    let schema = schema();
    let page = |query: &str| {
        let (status, page) = server.ask("GET", query, "");
        assert_eq!(status, 200, "{query}: {page}");
        assert!(schema.is_valid(&page), "{page}");
        page
    };
    let first = page("");
    assert_eq!(first["entries"], json!([]));
    let since = format!("?since={}", first["cursor"].as_str().unwrap());
    let entries = [json!({"sub": "alice", "reason": "left"}), json!({"sub": "bob", "until": 0})];
    for entry in &entries {
        assert_eq!(server.ask("POST", "", &entry.to_string()).0, 204);
    }
    for entry in ["x", "{}", r#"{"sub":"a","jti":"b"}"#, r#"{"sub":"a","until":1795864624537}"#] {
        assert_eq!(server.ask("POST", "", entry).0, 400, "{entry}");
    }
    assert_eq!(page(&since)["entries"], json!(entries), "in their order");
    assert_eq!(page("")["entries"], json!(entries[..1]), "not what ended long ago");
    for number in 0..1000 {
        server.ask("POST", "", &json!({"jti": number.to_string()}).to_string());
    }
    let mut cursor = page("")["cursor"].as_str().unwrap().to_owned();
    let mut pages = 1;
    loop {
        let next = page(&format!("?since={cursor}"));
        pages += 1;
        assert_ne!(next["cursor"], json!(cursor));
        cursor = next["cursor"].as_str().unwrap().to_owned();
        if next["more"] != json!(true) {
            break;
        }
    }
    assert_eq!(pages, 3);
    for unknown in ["?since=other-1", "?since=7", "?since="] {
        let (status, _) = server.ask("GET", unknown, "");
        assert_eq!(status, if unknown == "?since=" { 200 } else { 410 }, "{unknown}");
    }
}
