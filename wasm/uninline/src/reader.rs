//! Reads the binary format.

/// What is not as the format has it, or not as this program expects it.
pub type Error = &'static str;

const CUT: Error = "it ends too early";

/// What is left of some bytes.
pub struct Reader<'a>(&'a [u8]);

/// One instruction of a function.
pub enum Instruction {
    /// Of the function with this index.
    Call(u32),
    /// Any other.
    Other,
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// What was read since there was this rest.
    pub fn since(&self, rest: &'a [u8]) -> &'a [u8] {
        rest.strip_suffix(self.0).unwrap_or(rest)
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.0.split_first().ok_or(CUT)?;
        self.0 = rest;
        Ok(*first)
    }

    /// An unsigned number.
    pub fn number(&mut self) -> Result<u32, Error> {
        let mut number = 0;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err("a number is too long")
    }

    /// A number of whatever size and sign.
    fn skip_number(&mut self) -> Result<(), Error> {
        while self.byte()? & 0x80 != 0 {}
        Ok(())
    }

    fn skip_numbers(&mut self, count: u32) -> Result<(), Error> {
        (0..count).try_for_each(|_| self.skip_number())
    }

    /// Bytes after their length.
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = self.number()?;
        self.take(usize::try_from(length).map_err(|_| CUT)?)
    }

    /// As many as a number says.
    pub fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        (0..self.number()?).map(|_| one(self)).collect()
    }

    /// The kinds of local variables that a function begins with.
    pub fn locals(&mut self) -> Result<(), Error> {
        for _ in 0..self.number()? {
            self.number()?;
            self.byte()?;
        }
        Ok(())
    }

    /// The next instruction. Those of vectors, threads, exceptions and collected memory are
    /// none that the module has.
    pub fn instruction(&mut self) -> Result<Instruction, Error> {
        match self.byte()? {
            // call
            0x10 => return self.number().map(Instruction::Call),
            // unreachable, nop, else, end, return; drop, select; arithmetic; ref.is_null
            0x00 | 0x01 | 0x05 | 0x0b | 0x0f | 0x1a | 0x1b | 0x45..=0xc4 | 0xd1 => {}
            // block, loop, if; br, br_if; variables, table.get and set; memory.size and grow,
            // whole constants; ref.null, ref.func
            0x02..=0x04 | 0x0c | 0x0d | 0x20..=0x26 | 0x3f..=0x42 | 0xd0 | 0xd2 => {
                self.skip_number()?;
            }
            // br_table: all its targets, and one more
            0x0e => {
                let targets = self.number()?;
                self.skip_numbers(targets)?;
                self.skip_number()?;
            }
            // call_indirect; loads and stores
            0x11 | 0x28..=0x3e => self.skip_numbers(2)?,
            // f32.const, f64.const
            0x43 => drop(self.take(4)?),
            0x44 => drop(self.take(8)?),
            0xfc => match self.number()? {
                // Conversions that saturate.
                0..=7 => {}
                // data.drop, memory.fill
                9 | 11 => self.skip_number()?,
                // memory.init, memory.copy
                8 | 10 => self.skip_numbers(2)?,
                _ => return Err("an instruction that is not known here"),
            },
            _ => return Err("an instruction that is not known here"),
        }
        Ok(Instruction::Other)
    }
}
