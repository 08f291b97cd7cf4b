package locked

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/samcday/locked/internal/etcd"
)

// askVersions asks each endpoint for its version of etcd, the first time, and tells the log what is known to be wrong with
// it. Nobody waits for that: an endpoint that does not answer, or does not tell this user, is left out.
func (l *Locker) askVersions() {
	if l.askedVersions || !l.log.Enabled(l.ctx, slog.LevelWarn) {
		return
	}
	l.askedVersions = true
	l.spawn(func() {
		told := map[string]bool{}
		for _, endpoint := range l.client.Endpoints() {
			version, err := l.etcd.Version(l.ctx, endpoint)
			switch {
			case err != nil:
				l.log.Debug("etcd version not told", "endpoint", endpoint, "error", err)
			case !told[version]:
				told[version] = true
				l.tellVersion(endpoint, version)
			}
		}
	})
}

// faultsTold is how many of a version's faults are told: of an old one there are too many for a line.
const faultsTold = 2

func (l *Locker) tellVersion(endpoint, version string) {
	faults, take := etcd.Faults(version)
	if len(faults) == 0 {
		l.log.Debug("etcd version", "endpoint", endpoint, "version", version)
		return
	}
	var known []string
	for _, f := range faults[:min(len(faults), faultsTold)] { // the serious ones are the first
		known = append(known, f.What+": "+f.Means)
	}
	if more := len(faults) - faultsTold; more > 0 {
		known = append(known, fmt.Sprintf("and %d more, which locked doctor tells", more))
	}
	l.log.Warn("etcd has known faults", "endpoint", endpoint, "version", version, "faults", strings.Join(known, "; "), "take", take+" or later")
}
