//! Randomness.

use std::fmt;

/// The operating system gave no random bytes. Without them identifiers could be
/// guessed, so a gateway must not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system gives no random bytes")
    }
}

impl std::error::Error for NoRandomness {}

/// The seed of a gateway's identifiers; different for each gateway.
pub fn seed() -> Result<[u8; 16], NoRandomness> {
    let mut seed = [0; 16];
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| NoRandomness)?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_why_a_gateway_does_not_start() {
        assert_eq!(NoRandomness.to_string(), "the system gives no random bytes");
    }

    #[test]
    fn no_two_gateways_have_one_seed() {
        assert_ne!(seed().unwrap(), seed().unwrap());
    }
}
