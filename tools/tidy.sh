#!/usr/bin/env bash
# Tidies the modules, which require each other at a version that need not be released yet. With -diff it only tells what it would
# change, and ends with code 1 if that is anything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

prefix=github.com/samcday/locked
modules=(. internal/server metrics cmd test bench tools)
export GOWORK=off
code=0
for dir in "${modules[@]}"; do
	work=$(mktemp -d)
	cp "$dir/go.mod" "$work/go.mod"
	touch "$dir/go.sum"
	cp "$dir/go.sum" "$work/go.sum"
	edits=()
	for other in "${modules[@]}"; do
		module=$prefix/$other
		[ "$other" != . ] || module=$prefix
		[ "$other" = "$dir" ] || edits+=(-replace "$module=$PWD/$other")
	done
	go -C "$dir" mod edit "${edits[@]}" "$work/go.mod"
	go -C "$dir" mod tidy -modfile="$work/go.mod"
	for other in "${modules[@]}"; do
		module=$prefix/$other
		[ "$other" != . ] || module=$prefix
		[ "$other" = "$dir" ] || go mod edit -dropreplace "$module" "$work/go.mod"
	done
	if [ "${1-}" = -diff ]; then
		diff -u "$dir/go.mod" "$work/go.mod" && diff -u "$dir/go.sum" "$work/go.sum" || code=1
	else
		cp "$work/go.mod" "$dir/go.mod"
		cp "$work/go.sum" "$dir/go.sum"
	fi
	rm -r "$work"
done
exit $code
