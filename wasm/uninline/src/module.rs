//! What is to be known of a module before its calls are replaced.

use std::collections::BTreeMap;
use std::ops::Range;

use wasmparser::{
    ExternalKind, FunctionBody, KnownCustom, Name, Operator, Parser, Payload, RefType, TypeRef,
};

use crate::Error;

#[derive(Default)]
pub struct Module {
    /// How many functions are imported: their indices come first.
    pub imports: u32,
    /// The functions that are not imported.
    pub functions: Vec<Function>,
    pub names: BTreeMap<u32, String>,
    /// How many elements the only table has.
    pub elements: u32,
}

#[derive(Default)]
pub struct Function {
    /// The index of its type.
    pub of_type: u32,
    /// Of its body.
    pub bytes: u64,
    /// The functions that it calls, each as often as it does.
    pub calls: Vec<u32>,
}

impl Function {
    fn read(of_type: u32, body: &FunctionBody<'_>) -> Result<Self, Error> {
        let mut calls = Vec::new();
        for operator in body.get_operators_reader()? {
            match operator? {
                Operator::Call { function_index } => calls.push(function_index),
                // It would meet the new elements, and might replace them.
                Operator::TableCopy { .. }
                | Operator::TableFill { .. }
                | Operator::TableGet { .. }
                | Operator::TableGrow { .. }
                | Operator::TableInit { .. }
                | Operator::TableSet { .. }
                | Operator::TableSize { .. } => return Err("it looks at its table".into()),
                _ => {}
            }
        }
        let Range { start, end } = body.range();
        Ok(Self { of_type, bytes: end.saturating_sub(start), calls })
    }
}

impl Module {
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut module = Self::default();
        let (mut tables, mut has_elements) = (Vec::new(), false);
        let mut types = Vec::new().into_iter();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        match import?.ty {
                            TypeRef::Func(_) | TypeRef::FuncExact(_) => {
                                module.imports = module.imports.saturating_add(1);
                            }
                            // Its elements are not known, and the own one comes after it.
                            TypeRef::Table(_) => return Err("an imported table".into()),
                            _ => {}
                        }
                    }
                }
                Payload::FunctionSection(section) => {
                    types = section.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter();
                }
                Payload::TableSection(section) => {
                    tables = section.into_iter().collect::<Result<Vec<_>, _>>()?;
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        if export?.kind == ExternalKind::Table {
                            return Err("its table is exported".into());
                        }
                    }
                }
                Payload::ElementSection(_) => has_elements = true,
                Payload::CodeSectionEntry(body) => {
                    let of_type = types.next().ok_or("more bodies than functions")?;
                    module.functions.push(Function::read(of_type, &body)?);
                }
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(names) = section.as_known() {
                        for name in names {
                            let Name::Function(names) = name? else { continue };
                            for name in names {
                                let name = name?;
                                module.names.insert(name.index, name.name.to_owned());
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        let [table] = tables.as_slice() else { return Err("not one table".into()) };
        if table.ty.element_type != RefType::FUNCREF || table.ty.table64 {
            return Err("its table is not one of functions".into());
        }
        if !has_elements {
            return Err("its table is empty".into());
        }
        module.elements = u32::try_from(table.ty.initial)?;
        if module.names.is_empty() {
            return Err("its functions have no names".into());
        }
        Ok(module)
    }
}
