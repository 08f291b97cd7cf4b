package locked

import (
	"encoding/json"
	"fmt"
	"time"
)

// Kind says what an [Event] is about.
type Kind uint8

// The kinds of events.
const (
	// EventChange: somebody is elected, or the elected one changed its value.
	EventChange Kind = iota + 1
	// EventSelect: this node is elected.
	EventSelect
	// EventDeselect: this node is not elected any more; Cause says why.
	EventDeselect
	// EventVacant: nobody is elected.
	EventVacant
	// EventRefresh: this node is elected, and its lease was renewed and verified.
	EventRefresh
	// EventPing: the elected node, whoever that is, is confirmed to be alive. It comes at least every half TTL,
	// as long as etcd answers promptly.
	EventPing
	// EventError: something went wrong, and is being retried; Cause says what. It comes once, and again when the cause is
	// another one or after etcd has meanwhile done what it is asked.
	EventError
)

var kindNames = [...]string{"unknown", "change", "select", "deselect", "vacant", "refresh", "ping", "error"}

// String gives the kind's name in lower case.
func (k Kind) String() string {
	if int(k) >= len(kindNames) {
		k = 0
	}
	return kindNames[k]
}

// MarshalText gives the kind's name, as it stands in JSON.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Event is something that happened to an election. Its zero fields say that they do not apply. At is when this process
// noticed, or when the belief had ended that a deselect tells of.
type Event struct {
	Kind     Kind
	Path     string
	ID       string // of the elected node
	Value    string // of the elected node
	Token    int64  // of the term
	Revision int64  // of etcd, at which it was so
	Cause    error  // of a deselect or an error
	At       time.Time
}

// MarshalJSON gives the event with field names in lower case, the cause as a string, and without the fields that do not
// apply.
func (e Event) MarshalJSON() ([]byte, error) {
	v := struct {
		Kind     Kind      `json:"kind"`
		Path     string    `json:"path"`
		ID       string    `json:"id,omitempty"`
		Value    string    `json:"value,omitempty"`
		Token    int64     `json:"token,omitempty"`
		Revision int64     `json:"revision,omitempty"`
		Cause    string    `json:"cause,omitempty"`
		At       time.Time `json:"at"`
	}{e.Kind, e.Path, e.ID, e.Value, e.Token, e.Revision, "", e.At}
	if e.Cause != nil {
		v.Cause = e.Cause.Error()
	}
	return json.Marshal(v)
}

// String is the event on one line, for people.
func (e Event) String() string {
	switch {
	case e.Cause != nil:
		return fmt.Sprintf("%s %s: %v", e.Kind, e.Path, e.Cause)
	case e.Kind == EventVacant:
		return fmt.Sprintf("%s %s (revision %d)", e.Kind, e.Path, e.Revision)
	default:
		return fmt.Sprintf("%s %s: %s = %q (token %d)", e.Kind, e.Path, e.ID, e.Value, e.Token)
	}
}

// Leader is an elected node. The zero Leader stands for nobody.
type Leader struct {
	Path     string `json:"path"`
	ID       string `json:"id"`
	Value    string `json:"value"`
	Token    int64  `json:"token"`    // larger than that of every earlier term of the path
	Revision int64  `json:"revision"` // of etcd, at which the value was put
}

// Candidate is a node that leads or waits.
type Candidate struct {
	ID       string `json:"id"`
	Value    string `json:"value"`
	Token    int64  `json:"token,omitempty"` // 0 unless it leads
	Revision int64  `json:"revision"`        // of etcd, at which it entered; of the leader, at which its term began
}
