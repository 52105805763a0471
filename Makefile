.PHONY: help wasm wasm-small native cli oci package release run test docs bench costs faults soak fuzz mutants coverage clean

# First port of the shop: Envoy, then auth, users, upstream, Envoy's admin
# interface, the other services and the other door on the eleven after it. Unset: the ports of
# envoy/envoy.yaml.
PORT ?=

# How the gateway is in Envoy: wasm or native.
DOOR ?= wasm

# A gatepass.wasm that is there already, for `make run`. Unset: it is built.
MODULE ?=

# A shop that is there already, for `make run`. Unset: it is built.
SHOP ?=

# The features of the smaller module, for `make wasm-small`: names in Cargo.toml, or nothing.
FEATURES ?= rsa tables

# Other architectures than this machine's to build the native libraries for too: aarch64 or
# x86_64.
ARCH ?=

# How long each fuzz target runs, and how long the soak does.
FUZZ_SECONDS ?= 60
SOAK_SECONDS ?= 1200

help:
	@echo 'make run      build the module, install Envoy and start the shop (PORT=18000 for other ports;'
	@echo '              DOOR=native: with the native module; MODULE=gatepass.wasm, SHOP=shop: with ones that are built)'
	@echo 'make wasm     build target/wasm32-wasip1/release/gatepass.wasm'
	@echo 'make wasm-small   build gatepass-small.wasm beside it, without what few configurations need'
	@echo '              (FEATURES="rsa eddsa": with these features, see docs/install-envoy.md)'
	@echo 'make native   build target/native/libgatepass_{envoy,kong}.so, the same without a VM'
	@echo '              (ARCH=aarch64: for that too, in target/native/aarch64)'
	@echo 'make cli      build the command, target/release/gatepass'
	@echo 'make oci      put it into an OCI image layout, in target/oci'
	@echo 'make package  put it with all that a host needs into one archive for each host, in dist/'
	@echo 'make release  put all that a release has into dist/release (RELEASE_KEY: the gpg key that signs)'
	@echo 'make test     run every check and test'
	@echo 'make docs     write the tables of docs/configuration.md from src/config/schema.yaml'
	@echo 'make bench    measure it beside what else does the job (14 minutes; QUICK=1: 2 minutes;'
	@echo '              ONLY=fleet: several proxies; ONLY=dearest: the most expensive request;'
	@echo '              ONLY=revocations: one more on a long list)'
	@echo 'make costs    count instructions, allocations and fuel of a request, and compare them with those that'
	@echo '              are committed (WRITE=1: write those anew)'
	@echo 'make faults   measure what hostile clients and failing services cost (QUICK=1: a short run)'
	@echo 'make soak     run all of that at once for 20 minutes (SOAK_SECONDS=1200), and fail if anything does'
	@echo '              (both: DOOR=native)'
	@echo 'make fuzz     look for inputs that break what must hold (FUZZ_SECONDS=60 for each target)'
	@echo 'make mutants  look for changes of the code that no test notices'
	@echo 'make coverage say which lines the tests reach'
	@echo 'make clean    remove everything built'

wasm:
	@.ci/build-wasm

wasm-small:
	@.ci/build-wasm small $(FEATURES)

native:
	@.ci/build-native $(ARCH)

# To install it: cargo install --locked --path cli
cli:
	@cargo build --locked --release --package gatepass-cli

oci: wasm
	@.ci/oci

package: wasm native
	@ARCH='$(ARCH)' .ci/package

release: wasm wasm-small native cli
	@ARCH='$(ARCH)' .ci/release

run:
	@GATEPASS_DOOR=$(DOOR) GATEPASS_MODULE=$(MODULE) GATEPASS_SHOP=$(SHOP) .ci/shop $(if $(PORT),--port $(PORT))

test:
	@.ci/test

docs:
	@GATEPASS_WRITE=1 cargo test --locked --quiet --package gatepass-cli --lib schema::page

fuzz:
	@.ci/fuzz $(FUZZ_SECONDS)

mutants:
	@.ci/mutants

coverage:
	@.ci/coverage

bench: wasm native
	@ENVOY=$$(.ci/install-envoy) && export ENVOY && NGINX=$$(.ci/install-nginx || true) && export NGINX && \
	    cargo bench --locked --bench gateways

costs: wasm
	@$(if $(WRITE),export GATEPASS_WRITE_COSTS=1 &&) \
	    cargo test --locked --quiet --package gatepass-native --test costs -- committed --nocapture --test-threads=1 && \
	    cargo test --locked --quiet --package gatepass-wasm --test module_fuel -- --nocapture && .ci/costs

faults: $(DOOR)
	@export GATEPASS_DOOR=$(DOOR) && ENVOY=$$(.ci/install-envoy) && export ENVOY && cargo bench --locked --bench faults

soak: $(DOOR)
	@export GATEPASS_DOOR=$(DOOR) && ENVOY=$$(.ci/install-envoy) && export ENVOY && \
	    SOAK_SECONDS=$(SOAK_SECONDS) cargo bench --locked --profile dev --bench faults

clean:
	cargo clean
	rm -rf target dist
