//! Data shared by all VMs of a host.

use std::collections::BTreeMap;

use super::super::abi::{Answer, Guest, Status, Trap};
use super::super::fake::FakeHost;
use super::Args;

#[derive(Default)]
pub struct SharedData {
    /// Kong: the operator gave nginx a `shm_kv` zone. Without one, calls trap.
    pub zone: bool,
    entries: BTreeMap<Vec<u8>, (Vec<u8>, u32)>,
}

impl SharedData {
    /// The bytes of the largest value.
    pub fn largest(&self) -> usize {
        self.entries.values().map(|(value, _)| value.len()).max().unwrap_or_default()
    }

    /// As Envoy has it.
    pub fn read(&self, key: &[u8]) -> Option<(Vec<u8>, u32)> {
        self.entries.get(key).cloned()
    }

    /// As Envoy has it; without a version the value is replaced.
    pub fn write(&mut self, key: &[u8], value: &[u8], version: Option<u32>) -> bool {
        let old = self.entries.get(key).map(|(_, version)| *version);
        let fits = version.is_none() || old.is_none() || old == version;
        if fits {
            self.entries.insert(key.to_vec(), (value.to_vec(), old.unwrap_or(0) + 1));
        }
        fits
    }
}

/// Kong compares keys by CRC32 alone, so it may serve another key's value.
fn stored_key(host: &FakeHost, key: &[u8]) -> Vec<u8> {
    if host.is_kong() { crc32(key).to_le_bytes().to_vec() } else { key.to_vec() }
}

/// By which Kong's runtime tells names apart.
pub fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 }
        })
    })
}

fn require_zone(host: &FakeHost) -> Result<(), Trap> {
    if host.is_kong() && !host.shared.zone {
        return Err(Trap::new("shared data: could not resolve namespace (no shm_kv)"));
    }
    Ok(())
}

pub fn get(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    require_zone(host)?;
    let key = stored_key(host, &guest.read(args[0], args[1])?);
    let Some((value, cas)) = host.shared.entries.get(&key) else {
        return Ok(Status::NotFound);
    };
    guest.give(value, args[2], args[3])?;
    guest.write_u32(args[4], *cas)?;
    Ok(Status::Ok)
}

pub fn set(host: &mut FakeHost, guest: &mut dyn Guest, args: Args<'_>) -> Answer {
    require_zone(host)?;
    let key = stored_key(host, &guest.read(args[0], args[1])?);
    let value = guest.read(args[2], args[3])?;
    let (deletes, cas) = (args[2] == 0, args[4] as u32);
    let old = host.shared.entries.get(&key).map(|(_, cas)| *cas);
    // Envoy: 0 overwrites, and what is missing is created. Kong: 0 only creates, and nothing
    // else does.
    let fits = match old {
        Some(old) => cas == old || (cas == 0 && !host.is_kong()),
        None => cas == 0 || !host.is_kong(),
    };
    if !fits {
        return Ok(Status::CasMismatch);
    }
    if deletes {
        host.shared.entries.remove(&key);
    } else {
        host.shared.entries.insert(key, (value, old.unwrap_or(0) + 1));
    }
    Ok(Status::Ok)
}
