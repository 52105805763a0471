//! The few WASI functions that Rust's std brings into the module.

use super::abi::{Guest, Trap};
use super::fake::{FakeHost, LogLine};

const SUCCESS: u32 = 0;
const BAD_FILE: u32 = 8;
const NOT_SUPPORTED: u32 = 52;

pub fn call(
    host: &mut FakeHost,
    guest: &mut dyn Guest,
    name: &str,
    args: &[u64],
) -> Result<u32, Trap> {
    match name {
        "environ_sizes_get" => sizes(guest, args, &environment(host)),
        "environ_get" => strings(guest, args, &environment(host)),
        "args_sizes_get" => sizes(guest, args, &[]),
        "args_get" => strings(guest, args, &[]),
        "random_get" => {
            let bytes = host.random_bytes(args[1] as usize);
            guest.write(args[0], &bytes)?;
            Ok(SUCCESS)
        }
        "clock_time_get" => {
            guest.write(args[2], &host.now_ns.to_le_bytes())?;
            Ok(SUCCESS)
        }
        "fd_write" => fd_write(host, guest, args),
        "fd_prestat_get" | "fd_close" | "fd_seek" => Ok(BAD_FILE),
        "proc_exit" => Err(Trap::new(format!("the filter exited with {}", args[0]))),
        other => {
            host.violate(format!("WASI {other} was called, which the fake host does not model"));
            Ok(NOT_SUPPORTED)
        }
    }
}

fn environment(host: &FakeHost) -> Vec<String> {
    host.environment.iter().map(|(name, value)| format!("{name}={value}")).collect()
}

fn sizes(guest: &mut dyn Guest, args: &[u64], strings: &[String]) -> Result<u32, Trap> {
    let bytes: usize = strings.iter().map(|string| string.len() + 1).sum();
    guest.write_u32(args[0], strings.len() as u32)?;
    guest.write_u32(args[1], bytes as u32)?;
    Ok(SUCCESS)
}

fn strings(guest: &mut dyn Guest, args: &[u64], strings: &[String]) -> Result<u32, Trap> {
    let (mut pointer, mut at) = (args[0], args[1]);
    for string in strings {
        guest.write_u32(pointer, at as u32)?;
        guest.write(at, string.as_bytes())?;
        guest.write(at + string.len() as u64, &[0])?;
        pointer += 4;
        at += string.len() as u64 + 1;
    }
    Ok(SUCCESS)
}

/// stdout is logged as info, stderr as error.
fn fd_write(host: &mut FakeHost, guest: &mut dyn Guest, args: &[u64]) -> Result<u32, Trap> {
    let mut bytes = Vec::new();
    for vector in 0..args[2] {
        let entry = guest.read(args[1] + vector * 8, 8)?;
        let word = |at: usize| u32::from_le_bytes(entry[at..at + 4].try_into().unwrap());
        bytes.extend(guest.read(word(0).into(), word(4).into())?);
    }
    guest.write_u32(args[3], bytes.len() as u32)?;
    let level = if args[0] == 2 { 4 } else { 2 };
    let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
    host.logs.push(LogLine { level, text });
    Ok(SUCCESS)
}
