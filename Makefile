# Forwards to Meson, Ninja and the scripts in tools/. Everything is built in build/.
BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
NINJA = ninja -C $(BUILD)

all: $(BUILD)/build.ninja
	@$(NINJA)

$(BUILD)/build.ninja:
	@tools/deps --list build
	meson setup $(BUILD) --prefix=$(PREFIX)

deps:
	tools/deps

demo:
	@tools/deps build guest test
	@$(MAKE) --no-print-directory all
	@tools/demo $(BUILD)

test:
	@tools/deps
	@$(MAKE) --no-print-directory all
	@tools/testrun $(BUILD)

quick: all
	@tools/testrun $(BUILD) --suite quick

spec: all
	@SPEC="$(SPEC)" tools/testrun $(BUILD) --suite spec

bench:
	@tools/deps build guest bench
	@$(MAKE) --no-print-directory all
	@bench/run $(BUILD) $(BENCH)

fuzz:
	@tools/deps
	@tools/fuzz

soak: all
	@tools/soak $(BUILD)

chaos: all
	@test/e2e/chaos.py $(BUILD) --rounds 100

sim: all
	@BUILD=$(BUILD) tools/sim $(SECONDS)

fmt:
	@tools/fmt

check: all
	@tools/check $(BUILD)

install: $(BUILD)/build.ninja
	@meson configure $(BUILD) -Dprefix=$(PREFIX)
	@$(NINJA)
	@DESTDIR="$(DESTDIR)" meson install -C $(BUILD) --no-rebuild --quiet

deb:
	@tools/deps build
	@tools/deb

clean:
	rm -rf $(BUILD)

.PHONY: all deps demo test quick spec bench fuzz soak chaos sim fmt check install deb clean
