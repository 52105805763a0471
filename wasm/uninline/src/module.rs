//! What is to be known of a module.

use std::collections::BTreeMap;

use crate::reader::{Error, Reader};

/// Sections by their number in the format.
pub mod section {
    pub const CUSTOM: u8 = 0;
    pub const IMPORT: u8 = 2;
    pub const FUNCTION: u8 = 3;
    pub const TABLE: u8 = 4;
    pub const ELEMENT: u8 = 9;
    pub const CODE: u8 = 10;
}

pub struct Module<'a> {
    pub header: &'a [u8],
    pub sections: Vec<(u8, &'a [u8])>,
    /// How many functions are imported: their indices come first.
    pub imports: u32,
    /// The type of each function that is not imported, and its body.
    pub functions: Vec<(u32, &'a [u8])>,
    pub names: BTreeMap<u32, &'a str>,
    pub table: Table,
    /// The contents of the section with the table's elements, after their number.
    pub elements: (u32, &'a [u8]),
}

/// The only table.
pub struct Table {
    pub has_maximum: bool,
    pub size: u32,
}

impl<'a> Module<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let header = reader.take(8)?;
        if header != b"\0asm\x01\0\0\0" {
            return Err("no WebAssembly module");
        }
        let mut sections = Vec::new();
        while !reader.is_empty() {
            sections.push((reader.byte()?, reader.bytes()?));
        }
        let section = |number| {
            let found = sections.iter().find(|(id, _)| *id == number);
            found.map(|(_, bytes)| Reader::new(bytes)).ok_or("a section is missing")
        };
        let imports = section(section::IMPORT)?.list(function_import)?;
        let types = section(section::FUNCTION)?.list(Reader::number)?;
        let bodies = section(section::CODE)?.list(Reader::bytes)?;
        let table = section(section::TABLE)?.list(table)?.try_into();
        let [table] = table.map_err(|_| "not one table")?;
        let mut elements = section(section::ELEMENT)?;
        Ok(Self {
            header,
            imports: u32::try_from(imports.len()).map_err(|_| "too many imports")?,
            functions: types.into_iter().zip(bodies).collect(),
            names: names(&sections)?,
            table,
            elements: (elements.number()?, elements.rest()),
            sections,
        })
    }
}

fn function_import(reader: &mut Reader<'_>) -> Result<(), Error> {
    reader.bytes()?;
    reader.bytes()?;
    if reader.byte()? != 0 {
        return Err("it imports something else than functions");
    }
    reader.number().map(drop)
}

fn table(reader: &mut Reader<'_>) -> Result<Table, Error> {
    let kind = (reader.byte()?, reader.byte()?);
    let size = reader.number()?;
    let has_maximum = match kind {
        (0x70, 0) => false,
        (0x70, 1) => {
            reader.number()?;
            true
        }
        _ => return Err("a table of another kind"),
    };
    Ok(Table { has_maximum, size })
}

/// The functions' names, from the section that a linker writes unless it strips all.
fn names<'a>(sections: &[(u8, &'a [u8])]) -> Result<BTreeMap<u32, &'a str>, Error> {
    for (id, bytes) in sections {
        let mut reader = Reader::new(bytes);
        if *id != section::CUSTOM || reader.bytes()? != b"name" {
            continue;
        }
        while !reader.is_empty() {
            let (kind, bytes) = (reader.byte()?, reader.bytes()?);
            if kind == 1 {
                let named = |it: &mut Reader<'a>| Ok((it.number()?, it.bytes()?));
                let names = Reader::new(bytes).list(named)?;
                let text = |(index, name)| Some((index, std::str::from_utf8(name).ok()?));
                return Ok(names.into_iter().filter_map(text).collect());
            }
        }
    }
    Err("its functions have no names")
}
