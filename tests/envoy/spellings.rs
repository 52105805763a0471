//! Scalars without quotes as a real Envoy reads them, in a Struct such as the filter's
//! configuration is: what `gatepass check` and `explain` follow is in
//! `tests/fixtures/spellings.tsv`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;

use crate::stack::envoy;

/// The spellings, and what the fixture says of Envoy.
fn fixture() -> Vec<(&'static str, Value)> {
    let lines = include_str!("../fixtures/spellings.tsv").lines();
    let lines = lines.filter(|line| !line.starts_with('#')).skip(1);
    let read = |line: &'static str| {
        let mut columns = line.split('\t');
        (columns.next().unwrap(), serde_json::from_str(columns.next().unwrap()).unwrap())
    };
    lines.map(read).collect()
}

/// Writes a spelling in one of the forms, with its position.
type Form = fn(&str, usize) -> String;

/// A bootstrap with all of them: as values, in a list, as names, behind an alias, and in
/// three kinds of quotes; and with tags.
fn bootstrap(spellings: &[(&str, Value)]) -> String {
    let mut text = String::from(
        "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n\
         node:\n  id: a\n  cluster: b\n  metadata:\n",
    );
    let forms: [(&str, Form); 7] = [
        ("value", |it, at| format!("      k{at}: {it}\n")),
        ("list", |it, _| format!("    - {it}\n")),
        ("name", |it, at| format!("      ? {it}\n      : k{at}\n")),
        ("alias", |it, at| format!("      a{at}: &a{at} {it}\n      k{at}: *a{at}\n")),
        ("single", |it, at| format!("      k{at}: '{it}'\n")),
        ("double", |it, at| format!("      k{at}: \"{it}\"\n")),
        ("block", |it, at| format!("      k{at}: |-\n        {it}\n")),
    ];
    for (form, write) in forms {
        text.push_str(&format!("    {form}:\n"));
        let spellings = spellings.iter().enumerate();
        spellings.for_each(|(at, (spelling, _))| text.push_str(&write(spelling, at)));
    }
    text + "    tags:\n      !ignore gone: 1\n      value: !ignore 2\n      items: [!ignore 1, 2]\n      \
            text: !!str no\n      quoted: !!int '5'\n"
}

/// An Envoy that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What Envoy has for its node's metadata.
fn metadata(bootstrap: &str) -> Value {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("spellings");
    fs::create_dir_all(&directory).unwrap();
    let (file, address) = (directory.join("envoy.yaml"), directory.join("admin"));
    fs::write(&file, bootstrap).unwrap();
    let _ = fs::remove_file(&address);
    let running = Command::new(envoy::installed())
        .args(["--concurrency", "1", "--use-dynamic-base-id", "--config-path"])
        .arg(&file)
        .arg("--admin-address-path")
        .arg(&address)
        .stderr(Stdio::null())
        .spawn();
    let _running = Running(running.unwrap());
    let end = Instant::now() + Duration::from_secs(60);
    let stream = loop {
        let known = fs::read_to_string(&address).ok().filter(|it| !it.is_empty());
        if let Some(stream) = known.and_then(|address| TcpStream::connect(address).ok()) {
            break stream;
        }
        assert!(Instant::now() < end, "Envoy does not start");
        thread::sleep(Duration::from_millis(50));
    };
    let mut stream = stream;
    let request = "GET /server_info HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    // The body may be in chunks, whose sizes stand in lines of their own.
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let is_size = |line: &&str| line.bytes().all(|it| it.is_ascii_hexdigit());
    let mut body: Vec<_> = body.split("\r\n").collect();
    if body.len() > 1 {
        body.retain(|line| !is_size(line));
    }
    let mut info: Value = serde_json::from_str(&body.concat()).unwrap();
    info["node"]["metadata"].take()
}

#[test]
fn scalars_mean_to_envoy_what_the_command_takes_them_for() {
    let spellings = fixture();
    assert!(spellings.len() > 100);
    let found = metadata(&bootstrap(&spellings));
    for (at, (spelling, expected)) in spellings.iter().enumerate() {
        let key = format!("k{at}");
        for form in ["value", "alias"] {
            assert_eq!(found[form][&key], *expected, "{form}: {spelling}");
        }
        assert_eq!(found["list"][at], *expected, "list: {spelling}");
        for form in ["single", "double", "block"] {
            assert_eq!(found[form][&key], *spelling, "{form}: {spelling}");
        }
        // Names are taken as they are written, but for null.
        if !expected.is_null() {
            assert_eq!(found["name"][*spelling], key.as_str(), "name: {spelling}");
        }
    }
    // Only names can be left out, and no other tag is heeded.
    let tags = serde_json::json!({"value": 2, "items": [1, 2], "text": false, "quoted": 5});
    assert_eq!(found["tags"], tags);
}
