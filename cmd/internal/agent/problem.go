package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/etcd"
)

// problem is an error as a caller is told of it: RFC 9457. What does not apply is left out.
type problem struct {
	Type   string `json:"type"` // "urn:locked:" and one word: for programs
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`

	Field string `json:"field,omitempty"` // that was refused
	Value string `json:"value,omitempty"` // of it, abbreviated
	Want  string `json:"want,omitempty"`  // what is allowed

	RetryAfterMS int64 `json:"retry_after_ms,omitempty"`
}

func (p *problem) Error() string { return p.Detail }

func newProblem(status int, name, format string, args ...any) *problem {
	return &problem{Type: "urn:locked:" + name, Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// badField refuses what a caller gave.
func badField(field, value, want string) *problem {
	const most = 64
	if len(value) > most {
		value = strings.ToValidUTF8(value[:most], "") + "…"
	}
	p := newProblem(http.StatusBadRequest, "bad-field", "%s %q: %s", field, value, want)
	p.Field, p.Value, p.Want = field, value, want
	return p
}

// after says when to try again.
func (p *problem) after(d time.Duration) *problem {
	p.RetryAfterMS = max(1, d.Milliseconds())
	return p
}

// write answers with the problem.
func (p *problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("Cache-Control", "no-store")
	if p.RetryAfterMS > 0 {
		w.Header().Set("Retry-After", strconv.FormatInt((p.RetryAfterMS+999)/1000, 10))
	}
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // whoever asked may have gone
}

// problemOf tells of any error.
func problemOf(err error) *problem {
	var known *problem
	var config *locked.ConfigError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &config):
		p := badField(strings.ToLower(config.Field), "", config.Want)
		p.Value = strings.Trim(config.Value, `"`)
		p.Detail = fmt.Sprintf("%s %s: %s", p.Field, config.Value, config.Want)
		return p
	case errors.As(err, &tooLarge):
		return newProblem(http.StatusRequestEntityTooLarge, "too-large", "the body has more than the %d bytes that are allowed", tooLarge.Limit)
	case errors.Is(err, locked.ErrNoLeader):
		return newProblem(http.StatusNotFound, "no-leader", "nobody is elected")
	case errors.Is(err, locked.ErrNoCandidate):
		return newProblem(http.StatusConflict, "no-candidate", "no such candidate waits to be elected")
	case errors.Is(err, locked.ErrTransferPending):
		return newProblem(http.StatusConflict, "transfer-pending", "another transfer was asked for and is not done yet")
	case errors.Is(err, locked.ErrTransferFailed):
		return newProblem(http.StatusConflict, "transfer-failed", "the candidate left before it could be elected")
	case errors.Is(err, locked.ErrStarted):
		return newProblem(http.StatusConflict, "taken", "a candidate with that id competes for that path through this agent already")
	case errors.Is(err, locked.ErrClosed):
		return draining()
	case etcd.IsRefusal(err):
		return newProblem(http.StatusBadGateway, "etcd-refused", "%s", strings.TrimPrefix(err.Error(), "locked: "))
	case errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, locked.ErrUnreachable):
		return newProblem(http.StatusGatewayTimeout, "timeout", "it was not done in time")
	}
	return newProblem(http.StatusServiceUnavailable, "etcd-unreachable", "%s",
		strings.TrimPrefix(err.Error(), "locked: ")).after(time.Second)
}

func draining() *problem {
	return newProblem(http.StatusServiceUnavailable, "draining", "the agent is shutting down").after(time.Second)
}
