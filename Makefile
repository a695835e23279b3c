# Thin over CMake presets: `make demo` shows a bad canary being rolled back, `make test` runs the suite.
# Everything else is `cmake --preset NAME && cmake --build --preset NAME` (dev, release, asan, tsan, clang, fuzz).
.POSIX:
.PHONY: demo test setup build check asan tsan bench format clean

demo: build
	build/release/serin demo

build:
	@.ci/setup build
	@.ci/build release

test:
	@.ci/setup test
	@.ci/build dev
	@ctest --preset dev

asan tsan:
	@.ci/setup test
	@.ci/build $@
	@ctest --preset $@

bench:
	@.ci/setup bench
	@.ci/build release
	bench/run

setup:
	@.ci/setup test

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	rm -rf build
