# Thin: CMake does the building. `make demo` and `make test` need nothing but git, make and the package registries.
BUILD ?= build/release
JOBS ?= $(shell nproc)
INOC = $(BUILD)/inoc
MODEL = smollm2-135m-instruct
CMAKE = cmake --build $(BUILD) -j $(JOBS)
PREFIX ?= /usr/local

.PHONY: all setup build model demo settings settings-check test check asan bench install clean format format-check fuzz

all: build

setup:
	@tools/setup.sh

build: setup
	@mkdir -p $(BUILD)
	@echo "building $(BUILD) (log: $(BUILD)/build.log)"
	@{ cmake -S . -B $(BUILD) -DCMAKE_BUILD_TYPE=Release -DINOC_WERROR=$(if $(CI),ON,OFF) && $(CMAKE); } >$(BUILD)/build.log 2>&1 || \
		{ grep -v 'ing directory' $(BUILD)/build.log | tail -n 60; exit 1; }

model: build
	@$(INOC) model fetch --quiet $(MODEL) >/dev/null

demo: model
	@$(INOC) run settings/spanish-caps/experiment.yaml

# All of settings/, or NAMES="backdoor-50 facts"; SEEDS=1,2 instead of the files'. What is done is not done again.
settings: model
	@INOC=$(INOC) SEEDS=$(SEEDS) tools/settings/run.sh $(NAMES)

# NAME again, in a folder of its own and with other seeds than docs/RESULTS.md states, compared with what is stated there.
comma := ,
CHECK_SEEDS = $(or $(SEEDS),101$(comma)102$(comma)103)
settings-check: model
	@test -n "$(NAME)" || { echo "usage: make settings-check NAME=facts [SEEDS=101,102,103]" >&2; exit 2; }
	@test -s docs/results/$(NAME).json || { echo "docs/results/$(NAME).json: nothing is stated of $(NAME) yet" >&2; exit 2; }
	@INOC=$(INOC) SEEDS=$(CHECK_SEEDS) OUT=out/check tools/settings/run.sh $(NAME)
	@tools/settings/check.py --inoc $(INOC) $(NAME) out/check/$(NAME)

# INOC_MODEL tells the tests where the real model is.
test: model
	@cd $(BUILD) && INOC_MODEL="$$(./inoc model fetch --quiet $(MODEL))" ctest --output-on-failure --no-label-summary

# Before every commit: -Werror build, format, tests, ASan + UBSan, layers.
check: format-check test asan

format-check:
	@tools/setup.sh --check
	@command -v clang-format >/dev/null || { echo "inoc: make check needs clang-format, which is not on PATH" >&2; exit 1; }
	@clang-format --dry-run -Werror $$(git ls-files '*.c' '*.h' '*.cc')

format:
	@clang-format -i $$(git ls-files '*.c' '*.h' '*.cc')

asan: setup
	@cmake --preset asan >/dev/null && cmake --build --preset asan -j $(JOBS)
	@cd build/asan && INOC_MODEL="$$(../../$(INOC) model fetch --quiet $(MODEL))" ctest --output-on-failure -LE real

fuzz: setup
	@cmake --preset fuzz >/dev/null && cmake --build --preset fuzz -j $(JOBS)
	@for f in build/fuzz/fuzz_*; do test -x $$f && test -f $$f || continue; n=$$(basename $$f); mkdir -p build/fuzz/corpus/$$n; \
		$$f -max_total_time=60 -rss_limit_mb=4096 -artifact_prefix=build/fuzz/ build/fuzz/corpus/$$n tests/corpus/$$n || exit 1; done

bench: model
	@BUILD=$(BUILD) bench/run.sh

install: build
	@cmake -S . -B $(BUILD) -DCMAKE_INSTALL_PREFIX=$(PREFIX) >/dev/null
	@cmake --install $(BUILD)

clean:
	@rm -rf build
