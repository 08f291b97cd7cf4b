// Package health tells load balancers over HTTP whether a node is the elected one.
package health

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/samcday/locked"
)

// Status is the JSON that [Leader] answers with.
type Status struct {
	Path        string `json:"path"`
	ID          string `json:"id"` // of the node that answers
	Selected    bool   `json:"selected"`
	Token       int64  `json:"token,omitempty"`        // of its term
	RemainingMS int64  `json:"remaining_ms,omitempty"` // how long it will stay elected without another renewal
	Leader      string `json:"leader"`                 // id of the elected node as this one knows it, empty for nobody
	Value       string `json:"value"`                  // of the elected node
}

// Leader answers every request with 200 where the node is elected at that instant, and with 503 where it is not. The body
// is a [Status]; a HEAD request gets none. It asks no network, so it may be asked often.
func Leader(n *locked.Node) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leader := n.Leader()
		s := Status{Path: n.Path(), ID: n.LocalID(), Leader: leader.ID, Value: leader.Value}
		s.Token = n.Token()
		s.Selected = s.Token != 0
		s.RemainingMS = int64(n.Remaining() / time.Millisecond)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		if !s.Selected {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if r.Method != http.MethodHead {
			_ = json.NewEncoder(w).Encode(s) // whoever asked has gone
		}
	})
}
