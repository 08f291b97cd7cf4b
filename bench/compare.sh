#!/usr/bin/env bash
# compare.sh REF: compares the benchmarks of this tree with those of a commit, by benchstat. The two take turns, so that
# a busy machine is busy for both. COUNT (6) is how often, BENCH (.) which ones, TIME (100x) how long each is.
set -euo pipefail
ref=${1:?usage: compare.sh REF}
cd "$(git -C "$(dirname "${BASH_SOURCE[0]}")" rev-parse --show-toplevel)"

dir=$(mktemp -d "${TMPDIR:-/tmp}/locked-compare-XXXXXX")
trap 'git worktree remove --force "$dir/tree" 2>/dev/null; rm -rf "$dir"' EXIT
git worktree add --quiet --detach "$dir/tree" "$ref"

bench=./test
go test -c -o "$dir/new" $bench
[ -e "$dir/tree/test/bench_test.go" ] || bench=. # where they were before
go -C "$dir/tree" test -c -o "$dir/old" $bench
for i in $(seq "${COUNT:-6}"); do
	for side in old new; do
		"$dir/$side" -test.run '^$' -test.bench "${BENCH:-.}" -test.benchtime "${TIME:-100x}" -test.benchmem >>"$dir/$side.txt"
		echo "$side $i of ${COUNT:-6}" >&2
	done
done
go tool benchstat "$ref=$dir/old.txt" "this=$dir/new.txt"
