//! Request headers as each host keeps them, and as its upstream gets them.
//!
//! Envoy has one map of lower-case names and what the filter sees is what is
//! sent. Kong is nginx: a list in the client's order and case, in which
//! "removed" is a mark that only the listing of names honours; the upstream
//! receives every entry, marked or not.

use super::Profile;
use super::abi::Pairs;

#[derive(Clone, Debug)]
struct Entry {
    name: String,
    value: Vec<u8>,
    /// Kong: `hash = 0`. Not listed, but found by name and still sent.
    hidden: bool,
}

/// What became of an edit, beyond the edit itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    Done,
    /// Kong logs an error and changes nothing.
    ReadOnly,
}

#[derive(Clone, Debug)]
pub struct Headers {
    profile: Profile,
    /// Kong's pseudo headers live beside the list and never reach the upstream.
    pseudo: Vec<(String, Vec<u8>)>,
    list: Vec<Entry>,
}

/// `NGX_HTTP_WASM_MAX_REQ_HEADERS`.
const KONG_MAX_PAIRS: usize = 100;

/// One listing of all headers.
pub enum Listing {
    Whole(Pairs),
    /// Kong with more than 100 headers: sizes were computed for other entries
    /// than the ones written, so the map ends in the middle of a pair.
    Malformed(Pairs),
}

impl Headers {
    /// The headers of a client's request, pseudo headers first.
    pub fn of_request(profile: Profile, sent: &[(String, Vec<u8>)]) -> Self {
        let mut headers = Self { profile, pseudo: Vec::new(), list: Vec::new() };
        for (name, value) in sent {
            match profile {
                Profile::Envoy => headers.push(name.to_ascii_lowercase(), value),
                Profile::Kong => match name.as_str() {
                    // nginx turns the authority into Host and names itself.
                    ":authority" => {
                        if !sent.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
                            headers.push("Host".to_owned(), value);
                        }
                        headers.pseudo.push((name.clone(), b"kong:8000".to_vec()));
                    }
                    ":path" => headers.pseudo.push((name.clone(), nginx_uri(value))),
                    pseudo if pseudo.starts_with(':') => {
                        headers.pseudo.push((name.clone(), value.clone()));
                    }
                    _ => headers.push(name.clone(), value),
                },
            }
        }
        headers
    }

    /// The headers of a reply to a callout.
    pub fn of_reply(profile: Profile, reply: &[(String, Vec<u8>)]) -> Self {
        let mut headers = Self { profile, pseudo: Vec::new(), list: Vec::new() };
        for (name, value) in reply {
            match profile {
                Profile::Kong if name.starts_with(':') => {
                    headers.pseudo.push((name.clone(), value.clone()));
                }
                Profile::Kong => headers.push(name.clone(), value),
                Profile::Envoy => headers.push(name.to_ascii_lowercase(), value),
            }
        }
        headers
    }

    fn push(&mut self, name: String, value: &[u8]) {
        self.list.push(Entry { name, value: value.to_vec(), hidden: false });
    }

    /// `num_headers` of the callback: Envoy counts pseudo headers, Kong doesn't.
    pub fn count(&self) -> usize {
        self.list.iter().filter(|entry| !entry.hidden).count()
    }

    /// The first value under `name`; on Kong even one that was removed.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        let pseudo = self.pseudo.iter().find(|(key, _)| key == name);
        let listed = || self.list.iter().find(|entry| entry.name.eq_ignore_ascii_case(name));
        pseudo
            .map(|(_, value)| value.as_slice())
            .or_else(|| listed().map(|entry| entry.value.as_slice()))
    }

    pub fn listing(&self) -> Listing {
        let visible = self.list.iter().filter(|entry| !entry.hidden);
        let mut pairs = self.pseudo.clone();
        pairs.extend(visible.map(|entry| (entry.name.clone(), entry.value.clone())));
        match self.profile {
            Profile::Envoy => Listing::Whole(pairs),
            Profile::Kong => {
                let malformed = self.count() > KONG_MAX_PAIRS;
                pairs.truncate(KONG_MAX_PAIRS);
                if malformed { Listing::Malformed(pairs) } else { Listing::Whole(pairs) }
            }
        }
    }

    pub fn add(&mut self, name: &str, value: &[u8]) -> Edit {
        if let Some(edit) = self.edit_pseudo(name, Some(value)) {
            return edit;
        }
        self.push(self.spelled(name), value);
        Edit::Done
    }

    pub fn replace(&mut self, name: &str, value: &[u8]) -> Edit {
        if let Some(edit) = self.edit_pseudo(name, Some(value)) {
            return edit;
        }
        let name = self.spelled(name);
        let mut copies = self
            .list
            .iter_mut()
            .filter(|entry| !entry.hidden && entry.name.eq_ignore_ascii_case(&name));
        let Some(first) = copies.next() else {
            self.push(name, value);
            return Edit::Done;
        };
        first.name = name.clone();
        first.value = value.to_vec();
        // Kong hides the other copies from the filter and sends them all the same.
        copies.for_each(|copy| copy.hidden = true);
        self.forget_hidden();
        Edit::Done
    }

    pub fn remove(&mut self, name: &str) -> Edit {
        if let Some(edit) = self.edit_pseudo(name, None) {
            return edit;
        }
        for entry in &mut self.list {
            entry.hidden |= entry.name.eq_ignore_ascii_case(name);
        }
        self.forget_hidden();
        Edit::Done
    }

    /// What the upstream receives, in the order of the wire.
    pub fn sent(&self) -> Pairs {
        self.list.iter().map(|entry| (entry.name.clone(), entry.value.clone())).collect()
    }

    fn spelled(&self, name: &str) -> String {
        match self.profile {
            Profile::Envoy => name.to_ascii_lowercase(),
            Profile::Kong => name.to_owned(),
        }
    }

    /// Envoy has no hidden headers: what the filter removes is gone.
    fn forget_hidden(&mut self) {
        if self.profile == Profile::Envoy {
            self.list.retain(|entry| !entry.hidden);
        }
    }

    /// Kong: `:method` and `:path` can be written (the latter to no effect
    /// upstream), `:scheme` and `:authority` can't.
    fn edit_pseudo(&mut self, name: &str, value: Option<&[u8]>) -> Option<Edit> {
        if self.profile == Profile::Envoy {
            return None;
        }
        let (_, old) = self.pseudo.iter_mut().find(|(key, _)| key == name)?;
        match (name, value) {
            (":method" | ":path", Some(value)) => {
                *old = value.to_vec();
                Some(Edit::Done)
            }
            _ => Some(Edit::ReadOnly),
        }
    }
}

/// nginx answers 400 to these before any filter runs.
pub fn nginx_refuses(sent: &[(String, Vec<u8>)]) -> Option<String> {
    let count =
        |wanted: &str| sent.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).count();
    let twice =
        ["authorization", "host", "content-length"].into_iter().find(|name| count(name) > 1);
    twice.map(|name| format!("nginx: duplicate {name}"))
}

/// nginx's `$uri` with the arguments: decoded, slashes merged, dots resolved.
fn nginx_uri(raw: &[u8]) -> Vec<u8> {
    let split = raw.iter().position(|byte| *byte == b'?').unwrap_or(raw.len());
    let (path, args) = raw.split_at(split);
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < path.len() {
        let hex = path.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if path[at] == b'%' => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(path[at]);
                at += 1;
            }
        }
    }
    let mut segments: Vec<&[u8]> = Vec::new();
    let parts: Vec<&[u8]> = decoded.split(|byte| *byte == b'/').collect();
    let directory = matches!(parts.last(), Some(&(b"" | b"." | b"..")));
    for part in parts {
        match part {
            b"" | b"." => {}
            b".." => drop(segments.pop()),
            part => segments.push(part),
        }
    }
    let mut uri = vec![b'/'];
    uri.extend(segments.join(&b'/'));
    if directory && !segments.is_empty() {
        uri.push(b'/');
    }
    uri.extend(args);
    uri
}
