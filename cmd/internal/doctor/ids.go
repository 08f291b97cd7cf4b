package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/election"
)

// ids looks whether several candidates have the same id. Who may not read them is told so elsewhere.
func (x *Examination) ids(ctx context.Context) []Finding {
	limited, cancel := context.WithTimeout(ctx, x.Etcd.Timeout)
	defer cancel()
	resp, err := x.Client.Get(limited, election.Prefix(x.Path), clientv3.WithPrefix())
	if err != nil {
		return nil
	}
	found := Twins(resp.Kvs)
	if len(found) == 0 {
		return []Finding{{"ids", "ok", "no two candidates at " + x.Path + " have the same id", ""}}
	}
	var out []Finding
	for _, id := range slices.Sorted(maps.Keys(found)) {
		out = append(out, Finding{"ids", "warn", SameID(id, found[id]), OwnID})
	}
	return out
}

// Twins are the ids that several candidates have, each with the nonces of those, from the keys of an election. What one has left
// behind, and is about to end with its lease, has the same nonce but for a number at its end.
func Twins(keys []*mvccpb.KeyValue) map[string][]string {
	found := map[string][]string{}
	for _, kv := range keys {
		if _, part, nonce := election.ParseKey(string(kv.Key)); part == election.PartTerm || part == election.PartQueue {
			id, _, _ := election.Split(string(kv.Value))
			if nonce, _, _ = strings.Cut(nonce, "."); !slices.Contains(found[id], nonce) {
				found[id] = append(found[id], nonce)
			}
		}
	}
	maps.DeleteFunc(found, func(_ string, nonces []string) bool { return len(nonces) < 2 })
	return found
}

// SameID tells of such an id.
func SameID(id string, nonces []string) string {
	return fmt.Sprintf("%d candidates have the id %s (nonces %s)", len(nonces), id, strings.Join(nonces, ", "))
}

// OwnID is what to do about candidates with the same id.
const OwnID = "give each process an --id of its own, or none; one that has crashed is there until its lease ends"
