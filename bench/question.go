package main

import (
	"context"

	"golang.org/x/sys/unix"
)

// asker is a candidate that can be asked whether it leads, without asking the network.
type asker interface{ IsSelected() bool }

// question is what programs ask most: whether they lead. It is told in processor time, as it waits for nothing.
func question(ctx context.Context, b *bench) error {
	return b.alone(ctx, func(ctx context.Context, _ *etcd, c *contender) error {
		client, err := c.Dial(ctx, c.endpoint, latencyTTL)
		if err != nil {
			return err
		}
		b.cleanup(func() { client.Close() })
		candidate, err := client.Candidate(c.path("question"), "a")
		if err != nil {
			return err
		}
		node, ok := candidate.(asker)
		if !ok {
			b.note(c.System, "it has no answer that its lease bounds")
			return nil
		}
		if err := candidate.Campaign(ctx); err != nil {
			return err
		}
		var p pair
		for range b.pick(50, 10) {
			p.floor = append(p.floor, each(func() bool {
				var now unix.Timespec
				return unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) == nil
			}))
			p.ours = append(p.ours, each(node.IsSelected))
		}
		b.results.set(b.current.rows[0], c.Name, p.ours, p.floor, "")
		return nil
	})
}

// each is the processor time of one call, of very many.
func each(f func() bool) float64 {
	const calls = 200_000
	begun := cpuSeconds()
	for range calls {
		if !f() {
			panic("it does not lead, or has no clock")
		}
	}
	return (cpuSeconds() - begun) / calls
}
