# `make` alone lists what there is. The settings of CI stand in .ci/run.
.DELETE_ON_ERROR:
.PHONY: help demo test install lint bench simulate mutants

# Both as in testdata/install/common.sh.
cache := $(or $(KEYTURN_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/keyturn)

help: ## What there is to make.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1  \2/p' $(MAKEFILE_LIST)

demo: ## The whole loop on this machine: a leak found, blocked, rotated away, and let pass.
	cargo build --release --locked -p scanner -p rotator -p testdata
	testdata/demo/run

bench: ## Speed beside peers and floors, on the corpus of benches/corpus.sh.
	cargo build --release --locked -p scanner --bins --examples
	benches/run.py --record

simulate: ## 200,000 seeds of the rotation machine's simulation (KEYTURN_SEED=N runs one again).
	KEYTURN_SEEDS=200000 cargo test --release --locked -p rotator --lib simulation -- --nocapture

mutants: ## Whether the tests of the rotation machine notice what is broken on purpose (cargo install cargo-mutants).
	KEYTURN_SEEDS=800 cargo mutants -p rotator --all-features --sharding round-robin --shard $(or $(SHARD),0/1)

install: ## The servers and tools of the tests, kept in ~/.cache/keyturn (KEYTURN_CACHE).
	@testdata/install/all.sh

lint: install ## Format, clippy, licences, shell and YAML.
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features --locked --keep-going -- -D warnings
	PATH="$(cache)/bin:$$PATH" .ci/lint-files

test: install lint ## All of the above, then every test, against real servers where there are any.
	.ci/cargo-test
