//! What has to say the same in several files.

use std::fs;

use serde_json::Value;

use crate::nginx::root;

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// C without comments, in one line.
fn declarations(text: &str) -> String {
    let mut code = String::new();
    for (position, part) in text.split("/*").enumerate() {
        code.push_str(if position == 0 { part } else { part.split_once("*/").unwrap().1 });
    }
    let lines = code.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

#[test]
fn luajit_reads_what_the_header_declares() {
    let library = read("kong/plugins/gatepass/library.lua");
    let cdef = library.split("ffi.cdef [[").nth(1).unwrap().split("]]").next().unwrap();
    assert_eq!(declarations(cdef), declarations(&read("kong/native/gatepass.h")));
}

#[test]
fn the_interface_has_one_number() {
    let expected = gatepass_kong::abi::ABI;
    let header = read("kong/native/gatepass.h");
    assert!(header.contains(&format!("#define GATEPASS_ABI {expected}\n")));
    let library = read("kong/plugins/gatepass/library.lua");
    assert!(library.contains(&format!("local ABI = {expected}\n")));
    let version = format!("VERSION = \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(read("kong/plugins/gatepass/handler.lua").contains(&version));
}

#[test]
fn the_plugin_has_the_fields_of_the_filter() {
    let meta: Value = serde_json::from_str(&read("kong/gatepass.meta.json")).unwrap();
    let fields = meta["config_schema"]["properties"].as_object().unwrap();
    let mut fields: Vec<_> = fields.keys().map(|name| format!("  \"{name}\",")).collect();
    fields.sort();
    let list = read("kong/plugins/gatepass/fields.lua");
    let list: Vec<_> = list.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(list, fields);
}

/// As `gatepass_check` reads it, but for the secrets of the machine.
#[test]
fn the_example_is_a_configuration() {
    let kong: Value = serde_norway::from_str(&read("kong/plugin.yml")).unwrap();
    let plugin = &kong["services"][0]["plugins"][0];
    assert_eq!(plugin["name"], "gatepass");
    let text = plugin["config"].to_string();
    assert_eq!(gatepass_kong::check::problems(text.as_bytes()), []);
    let filter: Value = serde_norway::from_str(&read("kong/kong.yml")).unwrap();
    let filter = &filter["services"][0]["filter_chains"][0]["filters"][0]["config"];
    let names = |config: &Value| config.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&plugin["config"]), names(filter), "the filter's, pasted");
}
