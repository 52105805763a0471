.PHONY: help wasm cli package run test clean

# First port of the demo: Envoy, then auth, users, upstream and Envoy's admin
# interface on the four after it. Unset: the ports of envoy/envoy.yaml.
PORT ?=

help:
	@echo 'make run      build the module, install Envoy and start the demo (PORT=18000 for other ports)'
	@echo 'make wasm     build target/wasm32-wasip1/release/gatepass.wasm'
	@echo 'make cli      build the command, target/release/gatepass'
	@echo 'make package  put it with all that a host needs into one archive for each host, in dist/'
	@echo 'make test     run every check and test'
	@echo 'make clean    remove everything built'

wasm:
	@.ci/build-wasm

# To install it: cargo install --locked --path . --features cli
cli:
	@cargo build --locked --release --features cli --bin gatepass

package: wasm
	@.ci/package

run: wasm
	@ENVOY=$$(.ci/install-envoy) && export ENVOY && \
	    cargo build --locked --quiet --example demo && \
	    exec "$${CARGO_TARGET_DIR:-target}/debug/examples/demo" $(if $(PORT),--port $(PORT))

test:
	@.ci/test

clean:
	cargo clean
	rm -rf target dist
