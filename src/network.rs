//! Networks by address, for lists of trusted peers.

use std::net::IpAddr;

/// Addresses with a common prefix, such as `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Parses `10.0.0.0/8`, `2001:db8::/32`, or one address. Bits beyond the prefix must
    /// be zero: anything else is probably a mistake.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => {
                let is_plain = bits.bytes().all(|byte| byte.is_ascii_digit());
                (address, Some(bits.parse().ok().filter(|_| is_plain)?))
            }
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let network = Self { address, bits: bits.unwrap_or(width) };
        let is_whole = network.bits <= width && network.masked(address) == Some(number(address));
        is_whole.then_some(network)
    }

    /// Whether an address is in the network. An IPv4 address may be mapped to IPv6.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && self.masked(address) == Some(number(self.address))
    }

    fn masked(&self, address: IpAddr) -> Option<u128> {
        let width: u32 = if address.is_ipv4() { 32 } else { 128 };
        let low = width.checked_sub(self.bits)?;
        let mask = u128::MAX.checked_shl(low).unwrap_or(0);
        Some(number(address) & mask)
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u32::from(address).into(),
        IpAddr::V6(address) => u128::from(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let within = |network: &str, address: &str| {
            Network::parse(network).unwrap().contains(address.parse().unwrap())
        };
        assert!(within("10.0.0.0/8", "10.255.1.2") && !within("10.0.0.0/8", "11.0.0.1"));
        assert!(within("192.0.2.1", "192.0.2.1") && !within("192.0.2.1", "192.0.2.2"));
        assert!(within("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(within("0.0.0.0/0", "1.2.3.4") && !within("0.0.0.0/0", "2001:db8::1"));
        assert!(within("2001:db8::/32", "2001:db8:1::1") && !within("::/0", "1.2.3.4"));
        for odd in ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/+8", "10.0.0.0/", "::/129", "a/8"] {
            assert_eq!(Network::parse(odd), None, "{odd}");
        }
    }
}
