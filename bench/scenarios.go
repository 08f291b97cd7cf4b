package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// scenario is a thing to do with every system, and the rows that come of it.
type scenario struct {
	name  string
	theme string // what it is read with: a table of the report
	rows  []row
	run   func(ctx context.Context, b *bench) error
}

// row is one thing that is measured.
type row struct {
	key   string
	title string
	unit  unit
	ttl   time.Duration // what the figure is compared with, if it is a failover
	plot  string        // title of its plot, if it has one
}

const (
	latency   = "Latency"
	dying     = "Failover, TTL 3 s"
	asking    = "Asking a node whether it leads"
	telling   = "Observers"
	scaling   = "%scale elections led by a process, and as many candidates that wait in another"
	crowding  = "%crowd candidates for one path, in several processes"
	churning  = "Starts and stops, %churn of them asked for each second"
	hundredth = "%many elections led by a process"
)

// scenarios are all that is measured, in the order of the report.
var scenarios = []*scenario{
	{"cold", latency, []row{{key: "cold", title: "cold start: connect, be elected", plot: "Cold start: connect, be elected"}}, cold},
	{"warm", latency, []row{{key: "warm", title: "elected, with a session", plot: "One more election of a process that has a session"}}, warm},
	{"handover", latency, []row{
		{key: "handover-settled", title: "handover, successor has waited", plot: "Handover, the successor has waited"},
		{key: "handover-fresh", title: "handover, successor has just come", plot: "Handover, the successor has just come"},
	}, handover},
	{"death", dying, []row{{key: "death", title: "a process is killed", ttl: failoverTTL, plot: "Failover, a process is killed (TTL 3 s)"}}, death},
	{"silence", dying, []row{{key: "silence", title: "a machine falls silent", ttl: failoverTTL, plot: "Failover, a machine falls silent (TTL 3 s)"}}, silence},
	{"question", asking, []row{{key: "question", title: "processor time of the answer"}}, question},
	{"observers", telling, []row{
		{key: "observers-1", title: "1 observer is told"},
		{key: "observers-100", title: "100 in a process are told"},
		{key: "observers-10000", title: "10,000 in a process are told", plot: "10,000 observers in a process are told of a new leader"},
		{key: "observers-apart", title: "500 with a connection each are told"},
	}, observers},
	{"scale", scaling, []row{
		{key: "scale-enter", title: "time for all to be elected"},
		{key: "scale-close", title: "the leader closes: until all are led elsewhere", plot: "The leader of %scale elections closes: until all are led elsewhere"},
		{key: "scale-gaps", title: "paths that were seen empty meanwhile", unit: count},
		{key: "scale-lead-memory", title: "memory of one that leads", unit: memory},
		{key: "scale-wait-memory", title: "memory of one that waits", unit: memory, plot: "Memory of a candidate that waits, of %scale"},
		{key: "scale-lead-goroutines", title: "goroutines of one that leads", unit: count},
		{key: "scale-wait-goroutines", title: "goroutines of one that waits, its caller's among them", unit: count},
		{key: "scale-commits", title: "commits for each that enters", unit: count},
		{key: "scale-idle-requests", title: "requests to etcd, idle", unit: rate},
		{key: "scale-idle-cpu", title: "CPU of both processes and etcd, idle", unit: percent},
	}, scale},
	{"crowd", crowding, []row{
		{key: "crowd-handover", title: "handover", plot: "Handover among %crowd candidates"},
		{key: "crowd-commits", title: "commits for a handover", unit: count},
		{key: "crowd-crash", title: "the leader's process is killed, TTL 3 s", ttl: failoverTTL},
		{key: "crowd-crash-commits", title: "commits for a crash", unit: count},
	}, crowd},
	{"churn", churning, []row{
		{key: "churn-rate", title: "done in a second", unit: rate},
		{key: "churn-start", title: "time of a start"},
		{key: "churn-leak-memory", title: "memory that a second round leaves, for each", unit: memory},
		{key: "churn-leak-goroutines", title: "goroutines that it leaves, in all", unit: count},
		{key: "churn-leak-keys", title: "keys that are left, in all", unit: count},
	}, churn},
	{"many", hundredth, []row{
		{key: "many-enter", title: "time for all to be elected"},
		{key: "many-memory", title: "memory of each", unit: memory},
		{key: "many-close", title: "time to close"},
	}, many},
}

// sizes are the numbers in the themes: of a full run, and of a quick one.
var sizes = map[string][2]int{"%scale": {10_000, 1000}, "%crowd": {1000, 100}, "%many": {100_000, 5000}, "%churn": {1000, 500}}

// size is how many there are of something in a scenario.
func (b *bench) size(name string) int { return b.pick(sizes[name][0], sizes[name][1]) }

// sized is a theme with its number.
func sized(theme string, quick bool) string {
	for name, size := range sizes {
		n := size[0]
		if quick {
			n = size[1]
		}
		printed := fmt.Sprint(n)
		if n >= 1000 {
			printed = fmt.Sprintf("%d,%03d", n/1000, n%1000)
		}
		theme = strings.ReplaceAll(theme, name, printed)
	}
	return theme
}

func scenarioNames() (names []string) {
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

func findScenario(name string) *scenario {
	i := slices.IndexFunc(scenarios, func(s *scenario) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return scenarios[i]
}
