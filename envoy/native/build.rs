//! Linker flags of the module.

fn main() {
    // Never unloaded: Envoy closes a module with its last configuration, but revocations
    // must outlive that, and so must the module's thread-local values.
    println!("cargo::rustc-link-arg-cdylib=-Wl,-z,nodelete");
    // The tests' fake Envoy provides functions that the module looks up by name.
    println!("cargo::rustc-link-arg-tests=-rdynamic");
    println!("cargo::rerun-if-changed=build.rs");
}
