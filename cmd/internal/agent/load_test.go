package agent

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/hitch"
)

var (
	campaigns = flag.Int("campaigns", 300, "how many campaigns TestManyCampaigns opens")
	idle      = flag.Duration("idle", 3*time.Second, "how long TestManyCampaigns looks at them")
)

// Many campaigns of one agent, each of an election of its own, so that every one of them leads: what each costs in memory,
// and all together in idle CPU. The figures in docs/agent.md: go test ./cmd/internal/agent -v -run TestManyCampaigns -campaigns 10000 -idle 60s
func TestManyCampaigns(t *testing.T) {
	if testing.Short() {
		t.Skip("takes many seconds of both cores: run it without -short")
	}
	if runtime.GOOS != "linux" {
		t.Skip("memory and CPU time of a process are read from /proc")
	}
	etcd := testEtcd(t)
	hitch.Try(t, func(try int) error { return openMany(t, etcd, fmt.Sprint(try)) })
}

// openMany opens the campaigns of an agent, and tells of what they cost.
func openMany(t *testing.T, etcd *clientv3.Client, suffix string) error {
	cmd, out := child(t, "agent", etcd.Endpoints()[0])
	if !out.Scan() {
		t.Fatal("the agent did not start")
	}
	address := strings.TrimPrefix(out.Text(), "http://")
	pid := cmd.Process.Pid
	empty := memory(t, pid)

	var open sync.WaitGroup
	var lost atomic.Int64
	var closers sync.Map
	gate := make(chan struct{}, 200) // as many at a time as one listener's backlog takes
	for i := range *campaigns {
		gate <- struct{}{}
		open.Go(func() {
			defer func() { <-gate }()
			c, lines, err := leadRaw(address, fmt.Sprintf("many%s%%2F%d", suffix, i))
			if err != nil {
				t.Errorf("campaign %d: %v", i, err)
				return
			}
			closers.Store(i, c)
			go func() { // to the end, and nothing but heartbeats and refreshes
				for lines.Scan() {
					if bytes.HasPrefix(lines.Bytes(), []byte("event: deselect")) {
						lost.Add(1)
					}
				}
			}()
		})
	}
	open.Wait()
	full := memory(t, pid)
	before := cpu(t, pid)
	time.Sleep(*idle) // this is the measurement
	used := cpu(t, pid) - before
	after := memory(t, pid)
	n := lost.Load()
	closers.Range(func(_, c any) bool {
		c.(net.Conn).Close()
		return true
	})
	if n > 0 {
		return fmt.Errorf("%d of %d leaders were deselected", n, *campaigns)
	}
	t.Logf("%d campaigns that lead, TTL 10s: %.1f KiB each (%.1f when all had just been opened), idle CPU %.1f%% of a core",
		*campaigns, float64(after-empty)/float64(*campaigns)/1024, float64(full-empty)/float64(*campaigns)/1024,
		100*used.Seconds()/idle.Seconds())
	return nil
}

// leadRaw opens a campaign, and waits until it leads.
func leadRaw(address, path string) (net.Conn, *bufio.Scanner, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, nil, err
	}
	if _, err := fmt.Fprintf(c, "POST /v1/elections/%s/campaign?value=x HTTP/1.1\r\nHost: localhost\r\n\r\n", path); err != nil {
		return nil, nil, err
	}
	lines := bufio.NewScanner(c)
	lines.Buffer(make([]byte, 2<<10), 64<<10)
	for lines.Scan() {
		if bytes.HasPrefix(lines.Bytes(), []byte("event: select")) {
			return c, lines, nil
		}
	}
	return nil, nil, fmt.Errorf("its stream has ended: %w", lines.Err())
}

// memory is what a process has resident, in bytes.
func memory(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// cpu is the time that a process has run.
func cpu(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}

// Headers of ten megabytes, garbage, and a thousand connections a second: the leader stays, and another election hands over.
func TestHostileConnections(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	address := s.agent.listener.Addr().String()
	huge, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer huge.Close()
	_, _ = io.WriteString(huge, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Huge: ")
	_, werr := huge.Write(bytes.Repeat([]byte("x"), 10<<20))
	answer, rerr := http.ReadResponse(bufio.NewReader(huge), nil)
	if werr == nil && (rerr != nil || answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge) {
		t.Errorf("10 MB of headers were taken, and answered with %v, %v", answer, rerr)
	}

	hitch.Try(t, func(try int) error { return flood(s, address, fmt.Sprint(try)) })
}

// flood opens the thousand connections a second, while somebody leads and somebody else hands over.
func flood(s *server, address, suffix string) error {
	leader := s.campaign("web"+suffix, "leader", "ttl", "5s")
	leader.await("select")
	const perSecond, seconds = 1000, 2
	var flood sync.WaitGroup
	var failed atomic.Int64
	var late error
	tick := time.NewTicker(time.Second / perSecond)
	defer tick.Stop()
	for i := range perSecond * seconds {
		<-tick.C
		flood.Go(func() {
			if err := visit(address, i); err != nil {
				failed.Add(1)
			}
		})
		if i == perSecond*seconds/2 {
			first := s.campaign("other"+suffix, "first")
			first.await("select")
			second := s.campaign("other"+suffix, "second")
			second.await("change")
			start := time.Now()
			first.close()
			if took := second.await("select").at.Sub(start); took > 5*time.Second {
				late = fmt.Errorf("an election in the flood was handed over after %v", took)
			}
		}
	}
	flood.Wait()
	if n := failed.Load(); n > 0 {
		s.t.Errorf("%d of the well-behaved requests failed", n)
	}
	for _, e := range leader.drained() {
		if e.name == "deselect" || e.data["leads"] == false && e.name == "heartbeat" {
			return errors.Join(late, fmt.Errorf("the leader was told %v", e.data))
		}
	}
	if status, answer := s.call("GET", leader.path+"/leader?id=leader", ""); status != http.StatusOK {
		return errors.Join(late, fmt.Errorf("the leader is %v", answer))
	}
	return late
}

// visit makes one connection: an honest request, garbage, half a request, a reset, or nothing at all.
func visit(address string, i int) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	switch i % 5 {
	case 0:
		_, _ = c.Write([]byte{0x16, 3, 1, 0, 0, 0xff, '\n', '\n'})
	case 1:
		_, _ = io.WriteString(c, "POST /v1/elections/web/campaign HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nid=")
	case 2:
		_ = c.(*net.TCPConn).SetLinger(0)
	case 3:
	default:
		if _, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
			return err
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %s", resp.Status)
		}
	}
	return nil
}

func TestTooManyCandidacies(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(c *Config) { c.MaxCandidacies, c.MaxConnections = 2, 20 })
	s.campaign("web", "a").await("select")
	b := s.campaign("web", "b")
	b.await("change")
	if p := s.want(503, "POST", "/v1/elections/web/campaign", "value=x"); p["type"] != "urn:locked:too-many" {
		t.Errorf("problem %v", p)
	}
	s.want(204, "DELETE", b.path+"/campaign?candidacy="+b.candidacy, "")
	s.campaign("web", "c").await("change")

	// Connections above the limit are closed without a word, and the others stay.
	address := s.agent.listener.Addr().String()
	for range 40 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for s.agent.listener.refused.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if n := s.agent.listener.open.Load(); n > 20 {
		t.Errorf("%d connections are open, 20 are allowed", n)
	}
}

// One token cannot take the candidacies of all.
func TestShareOfAToken(t *testing.T) {
	r, l := newRegistry(8), testLocker(t)
	add := func(id string, h holder) *candidacy {
		t.Helper()
		c, err := newCandidacy(l, "/web", locked.NodeConfig{ID: id, Value: "v"})
		if err != nil {
			t.Fatal(err)
		}
		c.holder = h
		if err := r.add(t.Context(), c); err != nil {
			var p *problem
			if !errors.As(err, &p) || p.Status != http.StatusTooManyRequests {
				t.Error(err)
			}
			return nil
		}
		return c
	}
	one, other := holder{1}, holder{2}
	first := add("a", one)
	if first == nil || add("b", one) == nil {
		t.Fatal("a token does not get a quarter of the candidacies")
	}
	if add("c", one) != nil {
		t.Error("a token gets more than a quarter of the candidacies")
	}
	if add("d", other) == nil {
		t.Error("another token gets nothing")
	}
	r.remove(first)
	if add("e", one) == nil {
		t.Error("what was given back cannot be had again")
	}
	for _, id := range []string{"f", "g", "h", "i"} {
		if add(id, holder{}) == nil {
			t.Error("callers without a token get less than all")
		}
	}
}
