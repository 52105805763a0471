//! Text as hosts read YAML: merge keys resolved, where they resolve them.
//!
//! Kubernetes and Kong do; Envoy knows anchors and aliases only, and leaves out what has
//! the tag `!ignore`. Text that they read differently is refused: a repeated key, another
//! tag, an invalid number.

use serde::Deserialize as _;
use serde_json::Value;
use serde_norway::{Mapping, Value as Yaml};

use crate::unreadable::Unreadable;

/// The documents of a text that say something.
pub fn documents(text: &str) -> Result<Vec<Value>, Unreadable> {
    // A byte order mark is none of the text (YAML 1.2 section 5.2); here it would pass for
    // a document of its own.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut documents = Vec::new();
    for document in serde_norway::Deserializer::from_str(text) {
        // By YAML's own type of value, which refuses a key that comes twice.
        let yaml = Yaml::deserialize(document).map_err(|error| Unreadable::yaml(text, &error))?;
        let reader = Reader { aliases_only: reads_aliases_only(&yaml) };
        let plain = reader.plain(yaml).map_err(|refused| refused.in_text(text))?;
        let value = serde_json::to_value(plain).map_err(|_| Unreadable::unnamed(text))?;
        if !value.is_null() {
            documents.push(value);
        }
    }
    Ok(documents)
}

/// Whether a document is a file of Envoy's, or a piece of one: it has anchors and aliases,
/// and no merge keys.
fn reads_aliases_only(document: &Yaml) -> bool {
    const OWN: [&str; 8] = [
        "static_resources",
        "staticResources",
        "dynamic_resources",
        "dynamicResources",
        "admin",
        "typed_config",
        "typedConfig",
        "resources",
    ];
    let has = |name: &str| document.get(name).is_some();
    OWN.into_iter().any(has) && !has("apiVersion") && !has("_format_version") && !has("providers")
}

/// What is not read, and the text by which it is found.
struct Refused {
    cause: String,
    mark: String,
}

impl Refused {
    fn in_text(self, text: &str) -> Unreadable {
        let is_there = |line: &str| {
            !line.trim_start().starts_with('#')
                && !self.mark.is_empty()
                && line.contains(&self.mark)
        };
        let line = text.lines().position(is_there).map(|position| position.saturating_add(1));
        Unreadable::at(self.cause, line)
    }
}

#[derive(Clone, Copy)]
struct Reader {
    aliases_only: bool,
}

impl Reader {
    /// A value without merge keys and tags.
    fn plain(self, value: Yaml) -> Result<Yaml, Refused> {
        match value {
            Yaml::Mapping(members) => self.members(members).map(Yaml::Mapping),
            Yaml::Sequence(items) => {
                let items = items.into_iter().filter(|it| !self.is_ignored(it));
                items.map(|it| self.plain(it)).collect::<Result<_, _>>().map(Yaml::Sequence)
            }
            Yaml::Tagged(tagged) => {
                let mark = tagged.tag.to_string();
                Err(Refused { cause: format!("the tag {mark}, which is not read"), mark })
            }
            // JSON has no name for it, and would say that nothing is there.
            Yaml::Number(number) if number.as_f64().is_some_and(|it| !it.is_finite()) => {
                let mark = number.to_string();
                Err(Refused { cause: format!("{mark}, which is no number"), mark })
            }
            other => Ok(other),
        }
    }

    /// A key beside `<<` wins over a merged one, and an earlier element of a list of merged
    /// mappings over a later one.
    fn members(self, members: Mapping) -> Result<Mapping, Refused> {
        let (mut own, mut bases) = (Mapping::new(), Vec::new());
        for (key, value) in members {
            if self.is_ignored(&value) {
                continue;
            }
            let is_merge = key.as_str() == Some("<<");
            if is_merge && self.aliases_only {
                let cause = "a merge key (<<), which Envoy does not read: write the members out, \
                             or put an alias (*name) in the place of the whole value";
                return Err(Refused { cause: cause.to_owned(), mark: "<<".to_owned() });
            }
            match (is_merge, self.plain(value)?) {
                (true, Yaml::Sequence(several)) => bases.extend(several),
                (true, one) => bases.push(one),
                (false, value) => drop(own.insert(key, value)),
            }
        }
        for base in bases {
            let Yaml::Mapping(base) = base else {
                let cause = "<< with something else than mappings".to_owned();
                return Err(Refused { cause, mark: "<<".to_owned() });
            };
            for (key, value) in base {
                own.entry(key).or_insert(value);
            }
        }
        Ok(own)
    }

    /// What Envoy leaves out; files keep their anchors there.
    fn is_ignored(self, value: &Yaml) -> bool {
        self.aliases_only && matches!(value, Yaml::Tagged(tagged) if tagged.tag == "ignore")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merge_keys() {
        for (case, text, expected) in [
            ("a merged member", "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", "{\"x\":1,\"y\":3}"),
            ("several", "a: &a {x: 1}\nc: &c {x: 2, z: 4}\nb: {<<: [*a, *c]}", "{\"x\":1,\"z\":4}"),
            ("within one that is merged", "a: &a {d: {<<: {e: 1}}}\nb: *a", "{\"d\":{\"e\":1}}"),
        ] {
            let found = documents(text).unwrap();
            assert_eq!(found[0]["b"].to_string(), expected, "{case}");
        }
        // As Envoy says for itself: "no such field: '<<'".
        let envoys = documents("admin: {}\nbases:\n- &a {x: 1}\n- <<: *a\n  y: 2").unwrap_err();
        assert_eq!(envoys.line(), Some(4), "{envoys}");
        assert!(envoys.to_string().contains("which Envoy does not read"), "{envoys}");
    }

    #[test]
    fn what_envoy_leaves_out() {
        let text = "admin: {port: &p 1}\nbases: !ignore\n- x: 1\nlist: [!ignore 1, *p]";
        let found = documents(text).unwrap();
        assert_eq!(found[0].to_string(), r#"{"admin":{"port":1},"list":[1]}"#);
        let other = documents("apiVersion: v1\na: 1\nb: !ignore 1").unwrap_err();
        assert_eq!((other.line(), other.to_string().contains("the tag !ignore")), (Some(3), true));
    }
}
