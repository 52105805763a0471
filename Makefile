.PHONY: help wasm oci run test fuzz mutants clean

# First port of the demo: Envoy, then auth, users, upstream and Envoy's admin
# interface on the four after it. Unset: the ports of envoy/envoy.yaml.
PORT ?=

# Of fuzzing, for each target.
SECONDS ?= 60

help:
	@echo 'make run    build the module, install Envoy and start the demo (PORT=18000 for other ports)'
	@echo 'make wasm   build target/wasm32-wasip1/release/gatepass.wasm'
	@echo 'make oci    write the module as an OCI image layout to target/oci'
	@echo 'make test   run every check and test'
	@echo 'make fuzz   look for inputs that break what must hold (SECONDS=60 for each target)'
	@echo 'make mutants  look for changes of the code that no test notices'
	@echo 'make clean  remove everything built'

wasm:
	@.ci/build-wasm

oci: wasm
	@.ci/oci

run: wasm
	@ENVOY=$$(.ci/install-envoy) && export ENVOY && \
	    cargo build --locked --quiet --example demo && \
	    exec "$${CARGO_TARGET_DIR:-target}/debug/examples/demo" $(if $(PORT),--port $(PORT))

test:
	@.ci/test

fuzz:
	@.ci/fuzz $(SECONDS)

mutants:
	@.ci/mutants

clean:
	cargo clean
	rm -rf target
