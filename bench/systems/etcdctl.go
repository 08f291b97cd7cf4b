package systems

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"
)

const aProcessEach = "each election is a process of its own"

var etcdctl = &System{
	Name: "etcdctl elect", Store: "etcd", Dial: dialEtcdctl,
	Unfit: map[string]string{
		"warm": "every election starts a process", "death": "its TTL of 60 s cannot be set", "silence": "its TTL of 60 s cannot be set",
		"observers": aProcessEach, "scale": aProcessEach, "crowd": aProcessEach, "churn": aProcessEach, "many": aProcessEach,
	},
}

// etcdctlClient runs etcdctl for each candidate.
type etcdctlClient struct {
	without
	endpoint string
}

func dialEtcdctl(_ context.Context, endpoint string, _ time.Duration) (Client, error) {
	if _, err := exec.LookPath("etcdctl"); err != nil {
		return nil, fmt.Errorf("%w: peers.sh installs it", err)
	}
	return etcdctlClient{endpoint: endpoint}, nil
}

func (c etcdctlClient) Candidate(path, id string) (Candidate, error) {
	cmd := exec.Command("etcdctl", "--endpoints", c.endpoint, "elect", path, id)
	cmd.Env = append(os.Environ(), "ETCDCTL_API=3")
	return &etcdctlCandidate{cmd: cmd}, nil
}

func (etcdctlClient) Close() error { return nil }

type etcdctlCandidate struct{ cmd *exec.Cmd }

// Campaign returns when etcdctl prints its key: it does that when it is elected.
func (c *etcdctlCandidate) Campaign(ctx context.Context) error {
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	kill := context.AfterFunc(ctx, func() { c.cmd.Process.Kill() })
	defer kill()
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		c.cmd.Wait()
		return fmt.Errorf("etcdctl elect: %w", err)
	}
	return nil
}

func (c *etcdctlCandidate) Resign(ctx context.Context) error {
	c.cmd.Process.Signal(os.Interrupt)
	return Heed(ctx, func() error {
		c.cmd.Wait() // 130: it was interrupted
		return nil
	})
}
