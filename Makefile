# Thin over CMake presets: `make demo` shows a bad canary being rolled back (with LOOK=300 it stays up that many seconds for
# a browser), `make test` runs the suite.
# Everything else is `cmake --preset NAME && cmake --build --preset NAME` (dev, release, asan, tsan, clang, fuzz).
.POSIX:
.PHONY: demo try test setup build install package reproducible asan tsan fuzz tidy bench ci format clean

demo: build
	@look='$(LOOK)'; build/release/serin demo $${look:+--look "$$look"}

build:
	@.ci/setup build
	@.ci/build release

# The program, and the servers that the documents put it before.
try:
	@.ci/setup try
	@.ci/build release

# Into PREFIX, or below DESTDIR for who makes a package; never over a configuration.
PREFIX = /usr/local
install: build
	@DESTDIR='$(DESTDIR)' cmake --install build/release --prefix '$(PREFIX)' | grep -v '^-- Up-to-date'

# build/package/serin_VERSION_ARCH.deb
package: build
	@.ci/package build/release build/package

reproducible:
	@.ci/setup build
	@.ci/reproducible

test:
	@.ci/setup test
	@.ci/build dev
	@.ci/test dev

asan tsan fuzz:
	@.ci/setup test
	@.ci/build $@
	@.ci/test $@

tidy:
	@.ci/setup test
	@.ci/build dev
	@.ci/tidy

bench:
	@.ci/setup bench
	@.ci/build release
	@bench/run

ci:
	@.ci/run

setup:
	@.ci/setup test

format:
	@.ci/check-format --fix

clean:
	rm -rf build
