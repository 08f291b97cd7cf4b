package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
)

// TellVersions asks each endpoint for its version of etcd, and tells the log what is known to be wrong with it. Nobody waits
// for that: an endpoint that does not answer, or does not tell this user, is left out.
func (c *Conn) TellVersions(h Host) {
	h.Spawn(func() {
		told := map[string]bool{}
		for _, endpoint := range c.client.Endpoints() {
			version, err := c.version(h.Context, endpoint)
			switch {
			case err != nil:
				h.Log.Debug("etcd version not told", "endpoint", endpoint, "error", err)
			case !told[version]:
				told[version] = true
				tellVersion(h.Log, endpoint, version)
			}
		}
	})
}

func (c *Conn) version(ctx context.Context, endpoint string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	s, err := c.client.Status(ctx, endpoint)
	if err != nil {
		return "", err
	}
	return s.Version, nil
}

// faultsTold is how many of a version's faults are told: of an old one there are too many for a line.
const faultsTold = 2

func tellVersion(log *slog.Logger, endpoint, version string) {
	faults, take := Faults(version)
	if len(faults) == 0 {
		log.Debug("etcd version", "endpoint", endpoint, "version", version)
		return
	}
	var known []string
	for _, f := range faults[:min(len(faults), faultsTold)] { // the serious ones are the first
		known = append(known, f.What+": "+f.Means)
	}
	if more := len(faults) - faultsTold; more > 0 {
		known = append(known, fmt.Sprintf("and %d more, which locked doctor tells", more))
	}
	log.Warn("etcd has known faults", "endpoint", endpoint, "version", version, "faults", strings.Join(known, "; "), "take", take+" or later")
}
