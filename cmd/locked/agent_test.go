package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// The manifest is valid YAML, and its sidecar is given flags that there are.
func TestKubernetesSidecar(t *testing.T) {
	text, err := os.ReadFile("../../examples/kubernetes/sidecar.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var args []string
	var grace float64
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var object map[string]any
		if err := yaml.UnmarshalStrict(doc, &object); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if object["apiVersion"] == nil || object["kind"] == nil {
			t.Errorf("neither apiVersion nor kind in\n%s", doc)
		}
		if object["kind"] != "Deployment" {
			continue
		}
		pod := object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
		grace = pod["terminationGracePeriodSeconds"].(float64)
		for _, a := range pod["initContainers"].([]any)[0].(map[string]any)["args"].([]any) {
			args = append(args, a.(string))
		}
	}
	cmd, flags, err := newRootCommand().Find(args)
	if err != nil || cmd.Name() != "agent" {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	if err := cmd.ParseFlags(flags); err != nil {
		t.Errorf("%s: %v", strings.Join(args, " "), err)
	}
	drain, err := cmd.Flags().GetDuration("drain-timeout")
	if err != nil || drain >= time.Duration(grace)*time.Second {
		t.Errorf("the agent may take %v to end, and is killed after %v s: %v", drain, grace, err)
	}
}
