# Sofia Phone. `make demo` shows it, `make test` proves it; both set up what they need.
SHELL := /bin/bash
CARGO ?= cargo
OUT ?= demo-out
# `make soak`: how long, and how many calls a core of this machine was measured to hold (`make bench`).
SOAK_MINUTES ?= 30
SOAK_CAPACITY ?= 250
# `make e2e-upgrade`: from which commit.
FORMER ?= $(or $(shell git describe --tags --abbrev=0 HEAD^ 2> /dev/null),HEAD^)
# Where cargo-deny and the like are kept between runs, outside the checkout.
TOOLS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/sofia-phone/tools

.PHONY: help demo test e2e e2e-upgrade bench soak marathon scale lint fmt setup fuzz clean

help: ## what can be made
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

demo: ## a call from its first word to its last, with a page about it in demo-out/
	$(CARGO) build --release --locked --bin sofia-dataplane --bin switchsim
	target_dir=$$($(CARGO) metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'); \
	"$$target_dir/release/switchsim" demo --dataplane "$$target_dir/release/sofia-dataplane" --out "$(OUT)"

test: setup ## every test, on the parts and on the whole
	$(CARGO) build --workspace --locked --bins
	$(CARGO) test --workspace --locked --exclude e2e-kubernetes

e2e: ## the whole on a real Kubernetes, which it makes itself where there is none
	CARGO="$(CARGO)" e2e/kubernetes/run.sh

e2e-upgrade: ## the upgrade alone, from a former commit's operator that it builds first: FORMER (the last tag, else the last commit)
	E2E_FORMER="$(FORMER)" CARGO="$(CARGO)" e2e/kubernetes/run.sh upgrade

setup:
	@e2e/setup.sh

bench: ## goals of speed, measured beside others
	e2e/bench/setup.sh
	$(CARGO) build --release --locked --bin sofia-dataplane
	target_dir=$$($(CARGO) metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'); \
	$(CARGO) run --release --locked --manifest-path e2e/bench/Cargo.toml -- all --dataplane "$$target_dir/release/sofia-dataplane" --date "$$(date -u +%F)"

soak: ## SOAK_MINUTES (30) at 70 % of SOAK_CAPACITY calls, every feature, with a verdict
	$(CARGO) build --release --locked --bin sofia-dataplane
	target_dir=$$($(CARGO) metadata --format-version 1 --no-deps | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'); \
	$(CARGO) run --release --locked --manifest-path e2e/bench/Cargo.toml -- soak --dataplane "$$target_dir/release/sofia-dataplane" \
	  --minutes "$(SOAK_MINUTES)" --capacity "$(SOAK_CAPACITY)"

marathon: ## 200 conversations of eleven minutes with two takeovers each: nothing grows, leaks or is made up
	$(CARGO) build --release --locked --workspace --bins
	$(CARGO) test --release --locked -p e2e --test long_conversations -- --ignored --nocapture

scale: ## the operator with a thousand VoiceTrunks on a real API server, measured
	CARGO="$(CARGO)" e2e/scale/run.sh

lint: ## formatting, clippy, licences and sources of dependencies, fuzz targets compile, chart and manifests
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	$(CARGO) build --locked --manifest-path dataplane/fuzz/Cargo.toml
	@[ -x "$(TOOLS)/bin/cargo-deny" ] || $(CARGO) install --locked --root "$(TOOLS)" --no-default-features cargo-deny@0.20.2
	"$(TOOLS)/bin/cargo-deny" --locked check bans licenses sources
	charts/check.sh

fmt: ## put the sources into their form
	$(CARGO) fmt --all

fuzz: ## a minute of fuzzing for each target (needs cargo-fuzz and a nightly toolchain)
	cd dataplane && for target in $$($(CARGO) fuzz list); do $(CARGO) +nightly fuzz run $$target -- -max_total_time=60 || exit 1; done

clean:
	$(CARGO) clean
	rm -rf "$(OUT)" .venv
