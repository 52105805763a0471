//! Replaces calls.

use std::collections::{BTreeMap, BTreeSet};

use crate::encode;
use crate::module::{Module, section};
use crate::reader::{Error, Instruction, Reader};

/// The bytes of a function that is still called directly: V8's code for a call through the
/// table is as long.
const SHORT: usize = 60;

/// The crates of cryptography: with a call for each step of their loops, a signature would take
/// up to half as long again.
const CRYPTOGRAPHY: [&str; 19] = [
    "chacha20",
    "chacha20poly1305",
    "crypto_bigint",
    "curve25519_dalek",
    "ecdsa",
    "ed25519",
    "ed25519_dalek",
    "elliptic_curve",
    "k256",
    "p256",
    "p384",
    "p521",
    "poly1305",
    "primefield",
    "primeorder",
    "rfc6979",
    "rsa",
    "sha2",
    "wnaf",
];

/// What each request runs through, also one with a token that is known: paths in mangled names.
const REQUEST: [&str; 9] = [
    "8gatepass6bearer",
    "8gatepass7gateway",
    "8gatepass4http4head",
    "8gatepass4http4path",
    "8gatepass8pipeline6decide",
    "8gatepass5rules",
    "13gatepass_wasm6filter",
    "13gatepass_wasm6shared",
    "10proxy_wasm10dispatcher",
];

/// The same module without names, with calls through its table.
pub fn rewrite(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let module = Module::read(bytes)?;
    let calls = Calls::of(&module);
    let slots = calls.slots()?;
    let mut to = module.header.to_vec();
    for (id, bytes) in &module.sections {
        let changed = match *id {
            section::CUSTOM if Reader::new(bytes).bytes()? == b"name" => continue,
            section::TABLE => table(&module, &slots)?,
            section::ELEMENT => elements(&module, &slots)?,
            section::CODE => calls.code(&slots)?,
            _ => bytes.to_vec(),
        };
        to.push(*id);
        encode::bytes(&changed, &mut to)?;
    }
    Ok(to)
}

/// Where functions are in the table, by their indices.
type Slots = BTreeMap<u32, u32>;

struct Calls<'a> {
    module: &'a Module<'a>,
    /// The functions that call as before, by their indices.
    hot: BTreeSet<u32>,
}

impl<'a> Calls<'a> {
    fn of(module: &'a Module<'a>) -> Self {
        let names = module.names.iter().filter(|(_, name)| is_hot(name));
        Self { module, hot: names.map(|(index, _)| *index).collect() }
    }

    /// The type of a function that is to be called through the table.
    fn indirect(&self, caller: u32, callee: u32) -> Option<u32> {
        let index = callee.checked_sub(self.module.imports)?;
        let (of_type, body) = self.module.functions.get(usize::try_from(index).ok()?)?;
        (!self.hot.contains(&caller) && body.len() > SHORT).then_some(*of_type)
    }

    /// The functions that are not imported, with their indices.
    fn bodies(&self) -> impl Iterator<Item = (u32, &'a [u8])> {
        let bodies = self.module.functions.iter().map(|(_, body)| *body);
        (self.module.imports..).zip(bodies)
    }

    /// New places in the table for what is called through it: first, with the shortest
    /// numbers, what is called most.
    fn slots(&self) -> Result<Slots, Error> {
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        for (caller, body) in self.bodies() {
            let mut reader = Reader::new(body);
            reader.locals()?;
            while !reader.is_empty() {
                if let Instruction::Call(callee) = reader.instruction()?
                    && self.indirect(caller, callee).is_some()
                {
                    let count = counts.entry(callee).or_default();
                    *count = count.saturating_add(1);
                }
            }
        }
        let mut callees: Vec<_> = counts.into_iter().collect();
        callees.sort_by_key(|(callee, count)| (u32::MAX.saturating_sub(*count), *callee));
        let callees = callees.into_iter().map(|(callee, _)| callee);
        Ok(callees.zip(self.module.table.size..).collect())
    }

    fn code(&self, slots: &Slots) -> Result<Vec<u8>, Error> {
        let mut to = Vec::new();
        encode::number(count(self.module.functions.len())?, &mut to);
        for (caller, body) in self.bodies() {
            let mut reader = Reader::new(body);
            reader.locals()?;
            let mut changed = reader.since(body).to_vec();
            while !reader.is_empty() {
                let rest = reader.rest();
                let callee = match reader.instruction()? {
                    Instruction::Call(callee) => {
                        slots.get(&callee).zip(self.indirect(caller, callee))
                    }
                    Instruction::Other => None,
                };
                if let Some((slot, of_type)) = callee {
                    // i32.const, call_indirect
                    changed.push(0x41);
                    encode::constant(*slot, &mut changed);
                    changed.push(0x11);
                    encode::number(of_type, &mut changed);
                    changed.push(0);
                } else {
                    changed.extend(reader.since(rest));
                }
            }
            encode::bytes(&changed, &mut to)?;
        }
        Ok(to)
    }
}

fn is_hot(name: &str) -> bool {
    REQUEST.iter().any(|path| name.contains(path))
        || CRYPTOGRAPHY.iter().any(|of| names_crate(name, of))
}

/// Whether a mangled name has the name of a crate: `3rsa`, or `rsa..` in that of an
/// implementation.
fn names_crate(name: &str, of: &str) -> bool {
    let length = of.len();
    let is_segment = |at: usize| name.get(..at).is_some_and(|it| it.ends_with(&length.to_string()));
    let is_path = |at: usize| {
        let (before, after) = name.split_at_checked(at).unwrap_or_default();
        !before.ends_with(|it: char| it.is_alphanumeric() || it == '_')
            && after.strip_prefix(of).is_some_and(|it| it.starts_with(".."))
    };
    name.match_indices(of).any(|(at, _)| is_segment(at) || is_path(at))
}

fn count(length: usize) -> Result<u32, Error> {
    u32::try_from(length).map_err(|_| "too long")
}

fn table(module: &Module<'_>, slots: &Slots) -> Result<Vec<u8>, Error> {
    let table = &module.table;
    let size = table.size.checked_add(count(slots.len())?).ok_or("too long")?;
    // One, of functions.
    let mut to = vec![1, 0x70, u8::from(table.has_maximum)];
    encode::number(size, &mut to);
    if table.has_maximum {
        encode::number(size, &mut to);
    }
    Ok(to)
}

/// All that there are, and one more.
fn elements(module: &Module<'_>, slots: &Slots) -> Result<Vec<u8>, Error> {
    let (segments, contents) = module.elements;
    let mut to = Vec::new();
    encode::number(segments.checked_add(1).ok_or("too long")?, &mut to);
    to.extend(contents);
    // Into the table, from here on: i32.const, end
    to.extend([0, 0x41]);
    encode::constant(module.table.size, &mut to);
    to.push(0x0b);
    let mut callees: Vec<_> = slots.iter().map(|(callee, slot)| (*slot, *callee)).collect();
    callees.sort_unstable();
    encode::number(count(callees.len())?, &mut to);
    callees.iter().for_each(|(_, callee)| encode::number(*callee, &mut to));
    Ok(to)
}
