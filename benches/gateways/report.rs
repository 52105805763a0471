//! Results as Markdown.

use std::fmt;
use std::fs;

use serde_json::{Map, Value, json};

/// A part of the results.
pub struct Section {
    pub title: &'static str,
    pub text: String,
    /// What its plot shows, if it has one.
    pub bars: Vec<(String, f64)>,
    /// The same for programs.
    pub data: Value,
}

/// A Markdown table.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|cell| (*cell).to_owned()).collect()] }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// An object for each row, by the header's cells; numbers as numbers.
    pub fn json(&self) -> Value {
        let [header, rows @ ..] = &*self.rows else { return json!([]) };
        let value =
            |cell: &String| cell.parse::<f64>().map_or_else(|_| json!(cell), |it| json!(it));
        let name = |cell: &String| if cell.is_empty() { "name".to_owned() } else { cell.clone() };
        let object = |row: &Vec<String>| -> Map<String, Value> {
            header.iter().map(name).zip(row.iter().map(value)).collect()
        };
        rows.iter().map(|row| Value::Object(object(row))).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, row) in self.rows.iter().enumerate() {
            writeln!(f, "| {} |", row.join(" | "))?;
            if position == 0 {
                let rule =
                    row.iter().enumerate().map(|(at, _)| if at == 0 { "---" } else { "---:" });
                writeln!(f, "|{}|", rule.collect::<Vec<_>>().join("|"))?;
            }
        }
        Ok(())
    }
}

/// The machine, for whoever compares with another one.
pub fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let model = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("model name"));
        line.map(|line| line.trim_start_matches(['\t', ' ', ':']).to_owned())
    };
    let model = model(&read("/proc/cpuinfo")).unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    // All of them: this program keeps to one.
    let cores = read("/proc/cpuinfo").lines().filter(|line| line.starts_with("processor")).count();
    format!("{model}, {cores} CPUs, Linux {}", read("/proc/sys/kernel/osrelease").trim())
}

/// Puts `text` between the marks `<!-- name -->` and `<!-- end of name -->`.
pub fn splice(document: &str, name: &str, text: &str) -> Option<String> {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
    let (before, rest) = document.split_once(&start)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{start}\n{text}\n{end}{after}"))
}
