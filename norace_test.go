//go:build !race

package locked

const raceEnabled = false
