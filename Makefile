.PHONY: help wasm run test bench clean

# First port of the demo: Envoy, then auth, users, upstream and Envoy's admin
# interface on the four after it. Unset: the ports of envoy/envoy.yaml.
PORT ?=

help:
	@echo 'make run    build the module, install Envoy and start the demo (PORT=18000 for other ports)'
	@echo 'make wasm   build target/wasm32-wasip1/release/gatepass.wasm'
	@echo 'make test   run every check and test'
	@echo 'make bench  measure it beside other gateways (12 minutes; QUICK=1 for 2)'
	@echo 'make clean  remove everything built'

wasm:
	@.ci/build-wasm

run: wasm
	@ENVOY=$$(.ci/install-envoy) && export ENVOY && \
	    cargo build --locked --quiet --example demo && \
	    exec "$${CARGO_TARGET_DIR:-target}/debug/examples/demo" $(if $(PORT),--port $(PORT))

test:
	@.ci/test

bench: wasm
	@ENVOY=$$(.ci/install-envoy) && export ENVOY && cargo bench --locked --bench gateways

clean:
	cargo clean
	rm -rf target
