package etcdserver

import (
	"testing"
	"time"
)

// BenchmarkStart is the time from nothing to serving.
func BenchmarkStart(b *testing.B) {
	for name, cfg := range map[string]Config{
		"default":     {},
		"50ms":        {ElectionTimeout: 50 * time.Millisecond, NoFsync: true},
		"etcd_timing": {ElectionTimeout: time.Second},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s, err := Start(b.Context(), cfg)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
