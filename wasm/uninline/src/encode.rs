//! Writes the binary format.

/// An unsigned number.
pub fn number(mut number: u32, to: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            return to.push(low & 0x7f);
        }
        to.push(low | 0x80);
    }
}

/// A number of what is signed: bit 6 of its last byte is its sign.
pub fn constant(mut number: u32, to: &mut Vec<u8>) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 && low & 0x40 == 0 {
            return to.push(low & 0x7f);
        }
        to.push(low | 0x80);
    }
}

/// Bytes after their length.
pub fn bytes(bytes: &[u8], to: &mut Vec<u8>) -> Result<(), &'static str> {
    number(u32::try_from(bytes.len()).map_err(|_| "too long")?, to);
    to.extend(bytes);
    Ok(())
}
