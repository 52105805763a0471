//! Replaces calls.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

use wasm_encoder::reencode::{self, Reencode, utils};
use wasm_encoder::{CodeSection, ConstExpr, ElementSection, Elements, Instruction};
use wasmparser::{
    CustomSectionReader, ElementSectionReader, FunctionBody, KnownCustom, Operator, Parser,
    TableType,
};

use crate::Error;
use crate::module::Module;

/// The bytes of a function that is still called directly: V8's code for a call through the
/// table is as long.
const SHORT: u64 = 60;

/// The crates of cryptography: with a call for each step of their loops, a signature would take
/// up to half as long again.
pub const CRYPTOGRAPHY: [&str; 19] = [
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

/// The same module without names, with calls through its table. `frequent`: the paths
/// of what calls as before, besides cryptography.
///
/// # Errors
///
/// It is no such module, or nothing in it has one of those paths.
pub fn rewrite(bytes: &[u8], frequent: &[&str]) -> Result<Vec<u8>, Error> {
    let module = Module::read(bytes)?;
    let is_there = |path: &str| module.names.values().any(|name| has_path(name, path));
    if let Some(missing) = frequent.iter().find(|path| !is_there(path)) {
        return Err(format!("no function is in {missing}").into());
    }
    let mut rewriting = Rewriting::of(module, frequent);
    let mut rewritten = wasm_encoder::Module::new();
    rewriting
        .parse_core_module(&mut rewritten, Parser::new(0), bytes)
        .map_err(|error| error.to_string())?;
    Ok(rewritten.finish())
}

struct Rewriting {
    module: Module,
    /// The functions that call as before, by their indices.
    hot: BTreeSet<u32>,
    /// What is called through the table, in the order of its new elements.
    callees: Vec<u32>,
    /// The element of each of them, by its index.
    elements: BTreeMap<u32, u32>,
    /// The index of the function whose body comes next.
    caller: u32,
}

impl Rewriting {
    fn of(module: Module, frequent: &[&str]) -> Self {
        let is_hot =
            |name: &str| frequent.iter().chain(&CRYPTOGRAPHY).any(|path| has_path(name, path));
        let hot = module.names.iter().filter(|(_, name)| is_hot(name));
        let hot = hot.map(|(index, _)| *index).collect();
        let caller = module.imports;
        let (callees, elements) = Default::default();
        let mut rewriting = Self { module, hot, callees, elements, caller };
        rewriting.callees = rewriting.by_calls();
        let elements = rewriting.callees.iter().copied().zip(rewriting.module.elements..);
        rewriting.elements = elements.collect();
        rewriting
    }

    /// The type of a function that is to be called through the table.
    fn indirect(&self, caller: u32, callee: u32) -> Option<u32> {
        let index = callee.checked_sub(self.module.imports)?;
        let function = self.module.functions.get(usize::try_from(index).ok()?)?;
        let is_indirect = !self.hot.contains(&caller) && function.bytes > SHORT;
        is_indirect.then_some(function.of_type)
    }

    /// What is called through the table, most often called first: the first elements have the
    /// shortest numbers.
    fn by_calls(&self) -> Vec<u32> {
        let mut counts: BTreeMap<u32, u32> = BTreeMap::new();
        for (caller, function) in (self.module.imports..).zip(&self.module.functions) {
            for callee in &function.calls {
                if self.indirect(caller, *callee).is_some() {
                    let count = counts.entry(*callee).or_default();
                    *count = count.saturating_add(1);
                }
            }
        }
        let mut callees: Vec<_> = counts.into_iter().collect();
        callees.sort_by_key(|(callee, count)| (Reverse(*count), *callee));
        callees.into_iter().map(|(callee, _)| callee).collect()
    }
}

impl Reencode for Rewriting {
    type Error = Infallible;

    fn parse_custom_section(
        &mut self,
        module: &mut wasm_encoder::Module,
        section: CustomSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        match section.as_known() {
            KnownCustom::Name(_) => Ok(()),
            _ => utils::parse_custom_section(self, module, section),
        }
    }

    fn table_type(
        &mut self,
        of_type: TableType,
    ) -> Result<wasm_encoder::TableType, reencode::Error> {
        let more = |size: u64| {
            let size = size.saturating_add(self.callees.len().try_into().unwrap_or(u64::MAX));
            size.min(u32::MAX.into())
        };
        let (initial, maximum) = (more(of_type.initial), of_type.maximum.map(more));
        utils::table_type(self, TableType { initial, maximum, ..of_type })
    }

    fn parse_element_section(
        &mut self,
        elements: &mut ElementSection,
        section: ElementSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_element_section(self, elements, section)?;
        let first = ConstExpr::i32_const(self.module.elements.cast_signed());
        elements.active(None, &first, Elements::Functions(self.callees.as_slice().into()));
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        code: &mut CodeSection,
        body: FunctionBody<'_>,
    ) -> Result<(), reencode::Error> {
        let caller = self.caller;
        self.caller = caller.saturating_add(1);
        let mut function = self.new_function_with_parsed_locals(&body)?;
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            if let Operator::Call { function_index } = operator
                && let Some(type_index) = self.indirect(caller, function_index)
                && let Some(element) = self.elements.get(&function_index)
            {
                function.instruction(&Instruction::I32Const(element.cast_signed()));
                function.instruction(&Instruction::CallIndirect { type_index, table_index: 0 });
            } else {
                function.instruction(&self.instruction(operator)?);
            }
        }
        code.function(&function);
        Ok(())
    }
}

/// Whether a mangled name has a path: `gatepass::rules` is in one as `8gatepass5rules`, or as
/// `gatepass..rules` if the function is of an implementation.
fn has_path(name: &str, path: &str) -> bool {
    let segments = || path.split("::");
    let mangled: String = segments().map(|it| format!("{}{it}", it.len())).collect();
    let dotted = segments().collect::<Vec<_>>().join("..") + "..";
    let begins_there = |(at, _): (usize, &str)| {
        let before = name.get(..at).unwrap_or_default();
        !before.ends_with(|it: char| it.is_alphanumeric() || it == '_')
    };
    name.contains(&mangled) || name.match_indices(&dotted).any(begins_there)
}
