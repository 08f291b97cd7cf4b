package agent

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"
)

// What a caller does with a candidacy of his own, which he proves to be his by the secret in its first event.

// own reads the parameters, and finds the candidacy.
func (a *Agent) own(w http.ResponseWriter, r *http.Request, names ...string) (*candidacy, params, error) {
	p, err := readParams(w, r, append(names, "candidacy")...)
	if err != nil {
		return nil, nil, err
	}
	c, err := a.registry.find(electionPath(r), p["candidacy"])
	if err == nil && r.Method != http.MethodDelete && c.isEnded() {
		err = noCandidacy(c.path)
	}
	return c, p, err
}

// standingData is how a candidacy stands.
type standingData struct {
	Path  string `json:"path"`
	ID    string `json:"id"`
	Token int64  `json:"token,omitempty"`
	*standing
}

// getCampaign answers GET …/campaign: whether the caller leads, and how much longer. Since the answer is made after the
// request was sent, good_for_ms may be counted from then.
func (a *Agent) getCampaign(w http.ResponseWriter, r *http.Request) error {
	c, _, err := a.own(w, r)
	if err != nil {
		return err
	}
	d := standingData{Path: c.path, ID: c.id, standing: c.standing(isDirect(r))}
	if d.Leads {
		d.Token = c.node.Token()
	}
	return writeJSON(w, r, http.StatusOK, d)
}

// setTimeout is how long a new value may take to be in etcd. After that it is tried further all the same.
const setTimeout = 10 * time.Second

// setValue answers POST …/value, when the value is in etcd.
func (a *Agent) setValue(w http.ResponseWriter, r *http.Request) error {
	c, p, err := a.own(w, r, "value", "value_base64")
	if err != nil {
		return err
	}
	value, err := p.value()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), setTimeout)
	defer cancel()
	if err := c.node.SetValue(ctx, value); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// release answers POST …/release: the caller has ended its work for a term that was ended. So it need not be waited for
// until it cannot believe in the term any more.
func (a *Agent) release(w http.ResponseWriter, r *http.Request) error {
	c, p, err := a.own(w, r, "token")
	if err != nil {
		return err
	}
	token, err := strconv.ParseInt(p["token"], 10, 64)
	if err != nil || token < 1 {
		return badField("token", p["token"], "must be that of the deselect")
	}
	if !c.release(token) {
		return newProblem(http.StatusConflict, "leads",
			"the candidate leads, or never had that token: DELETE its campaign to give up, or transfer leadership; a release follows upon a deselect")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// overPatience is for what is known already to be heard of.
const overPatience = time.Second

// deleteCampaign answers DELETE …/campaign: the caller believes nothing any more. It answers when the candidacy is over,
// and what it led is handed over.
func (a *Agent) deleteCampaign(w http.ResponseWriter, r *http.Request) error {
	c, _, err := a.own(w, r)
	if err != nil {
		return err
	}
	c.leave()
	select {
	case <-c.over:
		a.registry.remove(c) // before the caller hears of it: there is room for another one
	case <-r.Context().Done():
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), overPatience)
	defer cancel()
	if err := c.node.Stop(ctx); errors.Is(err, context.DeadlineExceeded) {
		return newProblem(http.StatusGatewayTimeout, "timeout", "etcd has not confirmed it in time: it is tried further, and ends with the lease at the latest")
	} else if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
