//! How the module is linked.

fn main() {
    // Never unloaded: Envoy closes a module with its last configuration, and what
    // was revoked is to outlive that, as are threads' values that the module made.
    println!("cargo::rustc-link-arg-cdylib=-Wl,-z,nodelete");
    // The tests' fake Envoy is found by the names of its functions.
    println!("cargo::rustc-link-arg-tests=-rdynamic");
    println!("cargo::rerun-if-changed=build.rs");
}
