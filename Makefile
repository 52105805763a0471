.PHONY: help wasm oci run test clean

# First port of the shop: Envoy, then auth, users, upstream, Envoy's admin
# interface and the other services on the ten after it. Unset: the ports of
# envoy/envoy.yaml.
PORT ?=

help:
	@echo 'make run    build the module, install Envoy and start the shop (PORT=18000 for other ports)'
	@echo 'make wasm   build target/wasm32-wasip1/release/gatepass.wasm'
	@echo 'make oci    write the module as an OCI image layout to target/oci'
	@echo 'make test   run every check and test'
	@echo 'make clean  remove everything built'

wasm:
	@.ci/build-wasm

oci: wasm
	@.ci/oci

run: wasm
	@ENVOY=$$(.ci/install-envoy) && export ENVOY && \
	    cargo build --locked --quiet --example shop && \
	    exec "$${CARGO_TARGET_DIR:-target}/debug/examples/shop" $(if $(PORT),--port $(PORT))

test:
	@.ci/test

clean:
	cargo clean
	rm -rf target
