package agent

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/samcday/locked"
)

// leaderData is an elected node, as it is told over HTTP.
type leaderData struct {
	Path     string  `json:"path"`
	ID       string  `json:"id"`
	Value    *string `json:"value,omitempty"`
	Base64   string  `json:"value_base64,omitempty"`
	Token    int64   `json:"token"`
	Revision int64   `json:"revision"`
}

func newLeaderData(l locked.Leader) leaderData {
	d := leaderData{Path: l.Path, ID: l.ID, Token: l.Token, Revision: l.Revision}
	d.Value, d.Base64 = encodeValue(l.Value)
	return d
}

func writeJSON(w http.ResponseWriter, r *http.Request, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(append(b, '\n')) // whoever asked may have gone
	}
	return nil
}

// listElections answers GET /v1/elections.
func (a *Agent) listElections(w http.ResponseWriter, r *http.Request) error {
	prefix, err := a.prefix(w, r)
	if err != nil {
		return err
	}
	leaders, err := a.locker.Elections(r.Context(), prefix)
	if err != nil {
		return err
	}
	list := make([]leaderData, len(leaders))
	for i, l := range leaders {
		list[i] = newLeaderData(l)
	}
	return writeJSON(w, r, http.StatusOK, struct {
		Elections []leaderData `json:"elections"`
	}{list})
}

// prefix is the one that the request asks for, or else what the caller may see.
func (a *Agent) prefix(w http.ResponseWriter, r *http.Request) (string, error) {
	p, err := readParams(w, r, "prefix")
	if err != nil {
		return "", err
	}
	return accessOf(r.Context()).within(withSlash(p["prefix"]))
}

// getElection answers GET /v1/elections/PATH.
func (a *Agent) getElection(w http.ResponseWriter, r *http.Request) error {
	leader, err := a.locker.Leader(r.Context(), electionPath(r))
	if err != nil {
		return err
	}
	return writeJSON(w, r, http.StatusOK, newLeaderData(leader))
}

// candidateData is one that leads or waits.
type candidateData struct {
	ID       string  `json:"id"`
	Value    *string `json:"value,omitempty"`
	Base64   string  `json:"value_base64,omitempty"`
	Token    int64   `json:"token,omitempty"`
	Revision int64   `json:"revision"`
}

// getCandidates answers GET …/candidates.
func (a *Agent) getCandidates(w http.ResponseWriter, r *http.Request) error {
	path := electionPath(r)
	candidates, err := a.locker.Candidates(r.Context(), path)
	if err != nil {
		return err
	}
	list := make([]candidateData, len(candidates))
	for i, c := range candidates {
		list[i] = candidateData{ID: c.ID, Token: c.Token, Revision: c.Revision}
		list[i].Value, list[i].Base64 = encodeValue(c.Value)
	}
	return writeJSON(w, r, http.StatusOK, struct {
		Path       string          `json:"path"`
		Candidates []candidateData `json:"candidates"`
	}{path, list})
}

// getLeader answers GET …/leader, for load balancers: 200 if somebody leads, or the one with the id that is asked for, and
// otherwise 503. Of a candidate of this agent it knows without asking etcd.
func (a *Agent) getLeader(w http.ResponseWriter, r *http.Request) error {
	p, err := readParams(w, r, "id")
	if err != nil {
		return err
	}
	path := electionPath(r)
	d := struct {
		Path   string `json:"path"`
		ID     string `json:"id"` // of the leader
		Leads  bool   `json:"leads"`
		Reason string `json:"reason,omitempty"`
	}{Path: path}
	id := p["id"]
	if c := a.registry.named(path, id); id != "" && c != nil && c.node.IsSelected() {
		d.ID, d.Leads = id, true
		return writeJSON(w, r, http.StatusOK, d)
	}
	leader, err := a.locker.Leader(r.Context(), path)
	switch {
	case errors.Is(err, locked.ErrNoLeader):
		d.Reason = "nobody is elected"
	case err != nil:
		return err
	case id != "" && leader.ID != id:
		d.ID, d.Reason = leader.ID, "somebody else is elected"
	default:
		d.ID, d.Leads = leader.ID, true
		return writeJSON(w, r, http.StatusOK, d)
	}
	return writeJSON(w, r, http.StatusServiceUnavailable, d)
}

// How long a transfer may take.
const (
	transferTimeout    = 30 * time.Second
	maxTransferTimeout = 10 * time.Minute
)

// transfer answers POST …/transfer, when the successor is elected.
func (a *Agent) transfer(w http.ResponseWriter, r *http.Request) error {
	p, err := readParams(w, r, "id", "timeout")
	if err != nil {
		return err
	}
	limit, err := p.duration("timeout")
	switch {
	case err != nil:
		return err
	case limit == 0:
		limit = transferTimeout
	case limit > maxTransferTimeout:
		return badField("timeout", p["timeout"], "must be at most "+maxTransferTimeout.String())
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit + writeTimeout)) // else the server's own holds
	path := electionPath(r)
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	if err := a.locker.Transfer(ctx, path, p["id"]); err != nil {
		return err
	}
	leader, err := a.locker.Leader(ctx, path)
	if err != nil {
		return err
	}
	return writeJSON(w, r, http.StatusOK, newLeaderData(leader))
}
