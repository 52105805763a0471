//! The identity of a series: a name and labels.

use crate::denial::Code;

/// How many services, and how many providers, get series of their own. A host has a fixed
/// amount of memory for metrics, and some trap when it is full.
pub const MAX_NAMED: usize = 64;

/// The label for all names beyond [`MAX_NAMED`] together.
pub(super) const OTHERS: &str = "others";

/// The longest value of a label; longer names are truncated.
pub const MAX_LABEL: usize = 64;

/// The kind of a series, for the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Can only be increased.
    Counter,
    /// Can be set.
    Gauge,
    /// Records single values.
    Histogram,
}

/// One series, to be defined at the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    /// Its kind.
    pub kind: Kind,
    /// Its name: letters, digits and `_`.
    pub name: &'static str,
    /// Its labels in order, with their values: at most 64 letters, digits, `_` and `-`,
    /// so that a host may include them in a name.
    pub labels: Vec<(&'static str, String)>,
}

impl Series {
    /// A series with these labels.
    pub(super) fn new<const N: usize>(
        kind: Kind,
        name: &'static str,
        labels: [(&'static str, &str); N],
    ) -> Self {
        let labels = labels.map(|(label, value)| (label, value.to_owned())).into();
        Self { kind, name, labels }
    }
}

/// A sample for the host: the position of a series, and an amount to add, set or record.
pub type Sample = (usize, u64);

/// Names from the configuration as labels: each name with the position of its label,
/// which several names may share.
#[derive(Debug, Default)]
pub(super) struct NameLabels {
    names: Vec<(String, usize)>,
    /// Each label once.
    pub(super) labels: Vec<String>,
}

impl NameLabels {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut all = Self::default();
        for name in names {
            let own = if all.labels.len() < MAX_NAMED { label(name) } else { OTHERS.to_owned() };
            let known = all.labels.iter().position(|other| *other == own);
            let position = known.unwrap_or(all.labels.len());
            if known.is_none() {
                all.labels.push(own);
            }
            all.names.push((name.to_owned(), position));
        }
        all
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().find(|(known, _)| known == name).map(|(_, position)| *position)
    }
}

/// A name in characters that every host and label pattern accepts: a dot would start
/// another label.
pub(super) fn label(name: &str) -> String {
    let plain = |char: char| if char.is_ascii_alphanumeric() || char == '-' { char } else { '_' };
    name.chars().take(MAX_LABEL).map(plain).collect()
}

pub(super) const REQUESTS: &str = "gatepass_requests_total";

/// The series of a denial, for a filter without a gateway.
pub fn denials(code: Code) -> Series {
    Series::new(Kind::Counter, REQUESTS, [("outcome", "denied"), ("code", code.name())])
}
