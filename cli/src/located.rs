//! A configuration in a file, and what is around it.

use gatepass::config::Problem;
use serde_json::{Map, Value};

use crate::arguments::HostKind;

/// A configuration of Gatepass in a file.
#[derive(Clone, Debug)]
pub struct Located {
    /// Where, as a JSON path: `$` for the whole file.
    pub path: String,
    /// The configuration; unchanged if it is not an object, `null` if there is none.
    pub value: Value,
    /// The host that it is for.
    pub host: HostKind,
    /// The host's settings around the filter, if it is a host's file.
    pub frame: Frame,
}

/// The settings around a configuration in a host's file.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    /// The variables that the filter will see; `None` where the file does not say.
    pub environment: Option<Variables>,
    /// Where the file lets requests pass when the filter fails.
    pub fails_open: Option<String>,
    /// Where the file says what the filter may call and be called for, and what it
    /// needs of that and does not get.
    pub withheld: Option<(String, Vec<&'static str>)>,
    /// Whether it loads the native module for Envoy; `None` where the file does not say.
    pub is_native: Option<bool>,
    /// What is wrong around it.
    pub problems: Vec<Problem>,
    /// What may not be meant around it.
    pub warnings: Vec<Warning>,
}

/// The variables that a host's file passes on.
#[derive(Clone, Debug)]
pub struct Variables {
    /// The field that lists them.
    pub field: &'static str,
    /// Their names.
    pub names: Vec<String>,
}

/// Something allowed that may not be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where, as a JSON path in the file.
    pub path: String,
    /// The warning.
    pub text: String,
}

/// An object of a file, and the path to it.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// Its path.
    pub path: String,
    /// The value.
    pub value: &'a Value,
}

/// A member under its name in Envoy's files, `snake_case`, or as protobuf's JSON has it,
/// `camelCase`; and that name.
pub fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<(&'a str, &'a Value)> {
    let is_it = |own: &str| own == name || camel(name) == own;
    members.iter().find(|(own, _)| is_it(own)).map(|(own, value)| (own.as_str(), value))
}

/// The value of [`member`], of any value: `None` if it is not an object.
pub fn get<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    member(value.as_object()?, name).map(|(_, value)| value)
}

fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let mut text = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        text.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        text.push_str(letters.as_str());
    }
    text
}

/// Whether an object is about Gatepass, by its names.
pub fn names_gatepass(members: &Map<String, Value>) -> bool {
    const NAMES: [&str; 7] =
        ["name", "root_id", "rootID", "pluginName", "url", "filter_name", "plugin"];
    const BELOW: [&[&str]; 7] = [
        &["vm_config", "vm_id"],
        &["vm_config", "code", "local", "filename"],
        &["vm_config", "code", "remote", "http_uri", "uri"],
        &["dynamic_module_config", "name"],
        &["code", "image", "url"],
        &["code", "http", "url"],
        &["typed_config", "config", "name"],
    ];
    let names = NAMES.iter().filter_map(|name| Some(member(members, name)?.1));
    let below = BELOW.iter().filter_map(|steps| {
        let (first, rest) = steps.split_first()?;
        rest.iter().try_fold(member(members, first)?.1, |value, name| get(value, name))
    });
    names.chain(below).filter_map(Value::as_str).any(|name| name.contains("gatepass"))
}
