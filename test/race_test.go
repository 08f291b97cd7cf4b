//go:build race

package test

// raceEnabled says that the race detector is on, under which everything takes five to ten times as long.
const raceEnabled = true
