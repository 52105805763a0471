//! The built module in an interpreter.
//!
//! wasmi, because it is pure Rust without a JIT: it builds in seconds on any
//! machine, traps come back as values, and it validates modules as the real
//! hosts do. Speed is not the point here; the same code runs natively too.

use std::path::PathBuf;
use std::sync::{Mutex, TryLockError};

use wasmi::{
    AsContextMut, Caller, Error, ExternType, Instance, Linker, Memory, Module, Store, Val,
};

use super::Filter;
use super::abi::{Guest, Trap};
use super::imports;
use super::vm::{Export, SharedHost, Vm};
use super::wasi;

/// The module that `make wasm` builds, or the one that `$GATEPASS_WASM` names.
pub fn built_module() -> Result<Vec<u8>, String> {
    let target = || {
        let set = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        set.unwrap_or_else(|| PathBuf::from(env!("CARGO_WORKSPACE_DIR")).join("target"))
    };
    let path = std::env::var_os("GATEPASS_WASM")
        .map(PathBuf::from)
        .unwrap_or_else(|| target().join("wasm32-wasip1/release/gatepass.wasm"));
    #[allow(clippy::disallowed_methods, reason = "the test reads the file, not the filter")]
    std::fs::read(&path)
        .map_err(|error| format!("{}: {error}\nBuild the module first: make wasm", path.display()))
}

type Bytes = fn() -> Result<Vec<u8>, String>;

/// Where a module comes from, and whether its fuel is measured.
type Key = (Bytes, bool);

/// The validated module; done once per process, since scenarios are many.
fn compiled(filter: &Filter, is_metered: bool) -> (wasmi::Engine, Module) {
    static CACHE: Mutex<Vec<(Key, wasmi::Engine, Module)>> = Mutex::new(Vec::new());
    let bytes = |key: Bytes| key().unwrap_or_else(|why| panic!("{why}"));
    let mut cache = CACHE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let known = cache.iter().find(|((key, metered), ..)| {
        std::ptr::fn_addr_eq(*key, filter.module) && *metered == is_metered
    });
    if let Some((_, engine, module)) = known {
        return (engine.clone(), module.clone());
    }
    let engine = wasmi::Engine::new(wasmi::Config::default().consume_fuel(is_metered));
    let module = Module::new(&engine, bytes(filter.module)).expect("a valid module");
    cache.push(((filter.module, is_metered), engine.clone(), module.clone()));
    (engine, module)
}

pub struct ModuleVm {
    store: Store<SharedHost>,
    instance: Instance,
    is_metered: bool,
}

/// More than any call takes.
const FUEL: u64 = 1 << 50;

impl ModuleVm {
    pub fn boot(filter: &Filter, host: SharedHost, is_metered: bool) -> Result<Self, Trap> {
        let (engine, module) = compiled(filter, is_metered);
        let kong = host.lock().unwrap().is_kong();
        let mut linker = Linker::new(&engine);
        for import in module.imports() {
            let ExternType::Func(ty) = import.ty() else {
                return Err(Trap::new(format!(
                    "the module imports {}, no function",
                    import.name()
                )));
            };
            let (space, name) = (import.module().to_owned(), import.name().to_owned());
            if kong && name == "proxy_get_log_level" {
                return Err(Trap::new(format!("{name}: incompatible import type")));
            }
            let run = move |caller: Caller<'_, SharedHost>, args: &[Val], results: &mut [Val]| {
                host_call(caller, &space, &name, args, results)
            };
            linker.func_new(import.module(), import.name(), ty.clone(), run).expect("one of each");
        }
        let mut store = Store::new(&engine, host);
        if is_metered {
            store.set_fuel(FUEL).expect("an engine that consumes fuel");
        }
        let instance = linker
            .instantiate_and_start(&mut store, &module)
            .map_err(|error| Trap::new(error.to_string()))?;
        Ok(Self { store, instance, is_metered })
    }
}

impl Vm for ModuleVm {
    fn call(&mut self, export: Export, args: &[u32]) -> Result<u32, Trap> {
        let Some(func) = self.instance.get_func(&self.store, export.name()) else {
            let mut host = self.store.data().lock().unwrap();
            if host.is_kong() && export != Export::Initialize {
                let what = format!("it calls {}, which the module does not export", export.name());
                return Err(host.worker_crash(&what));
            }
            // Envoy skips the callbacks that a module doesn't export.
            return Ok(u32::from(matches!(export, Export::VmStart | Export::Done)));
        };
        let args: Vec<Val> = args.iter().map(|arg| Val::I32(*arg as i32)).collect();
        let ty = func.ty(&self.store);
        let mut results: Vec<Val> =
            ty.results().iter().map(|ty| Val::default_for_ty(*ty)).collect();
        if self.is_metered {
            self.store.set_fuel(FUEL).expect("an engine that consumes fuel");
        }
        func.call(&mut self.store, &args, &mut results).map_err(|error| trap_of(&error))?;
        if self.is_metered {
            let left = self.store.get_fuel().expect("an engine that consumes fuel");
            let mut host = self.store.data().lock().unwrap();
            *host.fuel.entry(export.name()).or_default() += FUEL - left;
        }
        Ok(match results.first() {
            Some(Val::I32(value)) => *value as u32,
            _ => 0,
        })
    }
}

fn trap_of(error: &Error) -> Trap {
    error.downcast_ref::<Trap>().cloned().unwrap_or_else(|| Trap::new(error.to_string()))
}

impl std::fmt::Display for Trap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Trap {}
impl wasmi::errors::HostError for Trap {}

fn host_call(
    mut caller: Caller<'_, SharedHost>,
    space: &str,
    name: &str,
    args: &[Val],
    results: &mut [Val],
) -> Result<(), Error> {
    let args: Vec<u64> = args.iter().map(widen).collect();
    let host = caller.data().clone();
    let mut host = match host.try_lock() {
        Ok(host) => host,
        Err(TryLockError::WouldBlock) => {
            return Err(Error::host(Trap::new(format!("{name} within a host call"))));
        }
        Err(TryLockError::Poisoned(_)) => {
            return Err(Error::host(Trap::new("the fake host panicked")));
        }
    };
    let memory = caller.get_export("memory").and_then(wasmi::Extern::into_memory);
    let memory = memory.ok_or_else(|| Error::host(Trap::new("the module exports no memory")))?;
    let mut guest = ModuleGuest { caller: &mut caller, memory };
    let answer = match space {
        "env" => imports::call(&mut host, &mut guest, name, &args).map(|status| status as u32),
        "wasi_snapshot_preview1" => wasi::call(&mut host, &mut guest, name, &args),
        other => Err(Trap::new(format!("no host provides {other}.{name}"))),
    };
    let answer = answer.map_err(Error::host)?;
    if let Some(result) = results.first_mut() {
        *result = Val::I32(answer as i32);
    }
    Ok(())
}

fn widen(value: &Val) -> u64 {
    match value {
        Val::I32(value) => u64::from(*value as u32),
        Val::I64(value) => *value as u64,
        other => panic!("no host function takes a {other:?}"),
    }
}

struct ModuleGuest<'a, 'b> {
    caller: &'a mut Caller<'b, SharedHost>,
    memory: Memory,
}

impl Guest for ModuleGuest<'_, '_> {
    fn read(&mut self, at: u64, len: u64) -> Result<Vec<u8>, Trap> {
        let (at, len) = (at as usize, len as usize);
        let data = self.memory.data(&*self.caller);
        let slice = data.get(at..at + len);
        slice.map(<[u8]>::to_vec).ok_or_else(|| Trap::new(format!("no memory at {at}+{len}")))
    }

    fn write(&mut self, at: u64, bytes: &[u8]) -> Result<(), Trap> {
        let written = self.memory.write(self.caller.as_context_mut(), at as usize, bytes);
        written.map_err(|_| Trap::new(format!("no memory at {at}+{}", bytes.len())))
    }

    fn allocate(&mut self, len: usize) -> Result<u64, Trap> {
        let export = |name| self.caller.get_export(name).and_then(wasmi::Extern::into_func);
        let allocate = export("proxy_on_memory_allocate").or_else(|| export("malloc"));
        let allocate = allocate.ok_or_else(|| Trap::new("the module exports no allocator"))?;
        let mut address = [Val::I32(0)];
        allocate
            .call(self.caller.as_context_mut(), &[Val::I32(len as i32)], &mut address)
            .map_err(|error| trap_of(&error))?;
        Ok(widen(&address[0]))
    }

    fn pointer_width(&self) -> usize {
        4
    }
}
