# What a developer runs; each target is one line that calls a script or cargo.
# `make test NAME=...` runs the tests whose name contains that.

PG_CONFIG ?= /usr/lib/postgresql/15/bin/pg_config
export PG_CONFIG

.PHONY: help demo test test-long bench check fmt extension-install clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 20

demo: ## two private servers, a workload, and what arrives
	@tests/setup.sh packages && cargo run --quiet -p pgstream-tests --bin demo

test: ## all tests, on real servers
	tests/setup.sh packages && cargo test $(NAME)

test-long: ## the same with the full counts of kills and storms, and a real Debezium Server (800 MB)
	tests/setup.sh packages && PGSTREAM_TEST_LONG=1 cargo test $(NAME)

bench: ## ours against PostgreSQL's own tools, pgcopydb and Debezium Server, in one run
	tests/setup.sh packages bench && cargo run --release -p pgstream-tests --bin bench

check: ## format, lints, licences, the shape of the tree
	tests/check.sh

fmt: ## format all Rust
	cargo fmt

extension-install: ## the extension, for the server of PG_CONFIG=
	PGRX_PG_CONFIG_PATH=$(PG_CONFIG) extension/install.sh $(PG_CONFIG) --release

clean: ## remove all that was built or copied
	tests/setup.sh clean && cargo clean
