//! Every path that a signature takes: in the module, by a host as Envoy is one to its
//! filters, and natively.

#![allow(clippy::panic, reason = "what fails here fails a test")]

use std::rc::Rc;

use gatepass::keys::{AlgorithmSet, Crypto};

#[path = "../aws_lc/mod.rs"]
mod aws_lc;

pub fn all() -> [(&'static str, Crypto); 3] {
    let [module, host] = aws_lc::both_paths();
    let native = Crypto::on(Rc::new(gatepass_native::AwsLc));
    assert_eq!(native.host_verifies(), AlgorithmSet::asymmetric());
    [module, host, ("native", native)]
}
