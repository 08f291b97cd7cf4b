package main

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/agent"
)

// The same thing has the same name in what every command prints with -o json, and in what the agent answers.
func TestSameNames(t *testing.T) {
	leader := locked.Leader{Path: "/a", ID: "a", Value: "v", Token: 1, Revision: 2}
	candidate := locked.Candidate{ID: "a", Value: "v", Token: 1, Revision: 2}
	event := locked.Event{Kind: locked.EventChange, Path: "/a", ID: "a", Value: "v", Token: 1, Revision: 2, Cause: locked.ErrExpired, At: time.Now()}
	for _, test := range []struct {
		command string
		prints  any
		schema  string   // of the agent, for the same
		only    []string // that the agent does not tell, or in another place
	}{
		{"get", leader, "Leader", nil},
		{"transfer", leader, "Leader", nil},
		{"list", standing{Leader: leader}, "Leader", []string{"waiting"}},
		{"candidates", contender{Path: "/a", Candidate: candidate, SameID: []string{"x", "y"}}, "Candidate", []string{"path", "lease_left_s", "lease_ttl_s", "same_id"}},
		{"watch", event, "Event", nil},
	} {
		printed := fields(t, test.prints)
		for name, want := range fields(t, leader) {
			if got := printed[name]; got != want {
				t.Errorf("%s: %s is %v, want %v", test.command, name, got, want)
			}
		}
		told := properties(t, test.schema)
		for name := range printed {
			if !slices.Contains(told, name) && !slices.Contains(test.only, name) {
				t.Errorf("%s prints %s, which the agent's %s does not have: %v", test.command, name, test.schema, told)
			}
		}
	}
}

func fields(t *testing.T, v any) (out map[string]any) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// properties are the names of the fields of what the agent's description calls by that name.
func properties(t *testing.T, schema string) []string {
	t.Helper()
	var api struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]any `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := yaml.Unmarshal(agent.OpenAPI, &api); err != nil {
		t.Fatal(err)
	}
	found := api.Components.Schemas[schema].Properties
	if len(found) == 0 {
		t.Fatalf("the agent's description has no %s", schema)
	}
	return slices.Sorted(maps.Keys(found))
}
