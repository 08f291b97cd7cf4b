.PHONY: test check bench bench-compare

# The tests of all modules.
test:
	test/run

# All that a change must pass.
check:
	.ci/run

# Measures everything side by side, and writes the tables and plots of docs/performance.md. It takes about an hour.
bench:
	cd bench && ./peers.sh go run . --docs ../docs

# Compares the benchmarks with those of another commit: make bench-compare REF=main
bench-compare:
	bench/compare.sh $(REF)
