package page_test

import (
	"bufio"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/samcday/locked"
	"github.com/samcday/locked/cmd/internal/agent"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/etcdtest"
	"github.com/samcday/locked/internal/server/hitch"
)

const token = "0123456789abcdef" // of agents that want one

// agents are agents on one etcd, one after the other, at the same address.
type agents struct {
	t      *testing.T
	etcd   etcdtest.Server
	client *clientv3.Client
	listen string
	url    string
	stop   func()
}

func newAgents(t *testing.T) *agents {
	t.Helper()
	etcd, err := etcdtest.Start(t.Context(), etcdserver.Config{ElectionTimeout: 50 * time.Millisecond, NoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { etcd.Close() })
	a := &agents{t: t, etcd: etcd, listen: hitch.Addr(t)}
	a.client = a.newClient()
	a.start()
	t.Cleanup(func() { a.stop() })
	return a
}

func (a *agents) newClient() *clientv3.Client {
	a.t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{a.etcd.Endpoint()}, Logger: zap.NewNop()})
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { c.Close() })
	return c
}

func (a *agents) start(change ...func(*agent.Config)) {
	a.t.Helper()
	cfg := agent.Config{Listen: a.listen, Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&cfg)
	}
	one, err := agent.New(a.client, cfg)
	if err != nil {
		a.t.Fatal(err)
	}
	a.url = one.URL()
	a.listen = strings.TrimPrefix(a.url, "http://")
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- one.Serve(ctx) }()
	a.stop = func() {
		cancel()
		if err := <-served; err != nil {
			a.t.Errorf("serve: %v", err)
		}
		a.stop = func() {}
	}
}

// campaign competes until its end is called, or the test ends. Its lease outlasts a machine that stands still for a while,
// and it ends its work at once when it is told to.
func (a *agents) campaign(path, id, value string) (end func()) {
	a.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a.t.Cleanup(cancel)
	form := url.Values{"id": {id}, "value": {value}, "ttl": {"60s"}}
	election := a.url + "/v1/elections/" + url.PathEscape(path)
	resp, err := post(ctx, election+"/campaign", form)
	if err != nil {
		a.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		a.t.Fatalf("campaign: %s", resp.Status)
	}
	go func() {
		defer resp.Body.Close()
		var event string
		var told struct {
			Candidacy string
			Token     int64
		}
		for s := bufio.NewScanner(resp.Body); s.Scan(); {
			switch name, value, _ := strings.Cut(s.Text(), ": "); name {
			case "event":
				event = value
			case "data":
				_ = json.Unmarshal([]byte(value), &told) // the secret comes first, and once
				if event != "deselect" {
					continue
				}
				done := url.Values{"candidacy": {told.Candidacy}, "token": {strconv.FormatInt(told.Token, 10)}}
				if resp, err := post(ctx, election+"/release", done); err == nil { // else it is waited for
					resp.Body.Close()
				}
			}
		}
	}()
	return cancel
}

func post(ctx context.Context, to string, form url.Values) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, "POST", to, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer "+token)
	return http.DefaultClient.Do(r)
}

func (p *tab) leads(path, id string) {
	p.t.Helper()
	p.until(js(card(path)+" .who") + `?.textContent === ` + quote(id))
}

// One real election from its first candidate to the last: the page follows.
func TestLive(t *testing.T) {
	t.Parallel()
	a, p := newAgents(t), newTab(t)
	p.may = []string{"Failed to load resource"}
	p.open(a.url)
	p.until(js("#empty h1") + `.innerText === "No election yet"`)

	endA := a.campaign("/web", "a", "10.0.0.1:80")
	p.leads("/web", "a")
	a.campaign("/web", "b", "10.0.0.2:80")
	p.until(js(card("/web")+" .queue") + `.textContent === "then b"`)
	a.campaign("/web", "c", "10.0.0.3:80")
	p.until(js(card("/web")+" .queue") + `.textContent === "then b +1"`)
	if got := p.text(card("/web") + " .value"); got != "10.0.0.1:80" {
		t.Errorf("the value is shown as %q", got)
	}

	p.open(a.url + "/#/web")
	p.until(js("#detail .leader") + `.innerText === "a"`)
	shown := eval[int](p, `Number(`+js("#detail .token")+`.textContent)`)
	if leader, err := leaderOf(t, a, "/web"); err != nil || int64(shown) != leader.Token {
		t.Errorf("the token is shown as %d, and is %d (%v)", shown, leader.Token, err)
	}

	endA() // the agent hands over
	p.until(js("#detail .leader") + `.innerText === "b" && ` + js("#detail .gap") + `.innerText === "no gap"`)
	p.until(js("#detail .strip .handed") + ` !== null && !` + js("#detail .strip .cut"))
	if got := p.text("#detail .log li"); !strings.Contains(got, "b took over from a") {
		t.Errorf("the log says %q", got)
	}

	// Handed over by hand, to one who is not the next, by the keyboard.
	a.campaign("/web", "d", "10.0.0.4:80")
	p.until(js("#detail .waiting") + `.textContent === "2"`)
	p.click("#detail .hand")
	p.until(js("#hand-over") + `.open`)
	p.click(`#hand-over input[value="d"]`)
	p.click("#hand-over .primary")
	p.until(`!` + js("#hand-over") + `.open && ` + js("#detail .leader") + `.innerText === "d"`)
	if leader, err := leaderOf(t, a, "/web"); err != nil || leader.ID != "d" {
		t.Errorf("the page says d, and etcd says %q (%v)", leader.ID, err)
	}

	// The agent goes, and another one comes: stale, and live again.
	a.stop()
	p.until(`document.documentElement.classList.contains("stale") && ` + js("#banner") + `.innerText.includes("Stale: the agent is lost since")`)
	a.start()
	p.until(`!document.documentElement.classList.contains("stale")`)
	a.campaign("/web", "e", "10.0.0.5:80")
	p.until(js("#detail .leader") + `.innerText === "e"`)
}

// A leader that dies without a word is seen as a gap: from when its lease has ended until the next one is elected.
func TestCrash(t *testing.T) {
	t.Parallel()
	a, p := newAgents(t), newTab(t)
	p.open(a.url)
	doomed := a.newClient()
	l, err := locked.NewFromClient(doomed)
	if err != nil {
		t.Fatal(err)
	}
	n, err := l.Node("/jobs", locked.NodeConfig{ID: "doomed", Value: "1", TTL: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.leads("/jobs", "doomed")
	doomed.Close()
	p.until(js(card("/jobs")) + `.dataset.state === "empty"`)
	p.until(js(card("/jobs")+" .who") + `.textContent === "No leader" && ` + js("#sums") + `.innerText.includes("1 without a leader")`)
	a.campaign("/jobs", "heir", "2")
	p.leads("/jobs", "heir")
	p.until(js(card("/jobs")+" .strip .cut") + ` !== null`)
	if got := p.text("#feed li"); !strings.Contains(got, "heir was elected after doomed") || !strings.Contains(got, "s gap") {
		t.Errorf("the feed says %q", got)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	l.Close(gone) // it has no connection left
}

// An agent that wants tokens shows the page to all, and elections to those that have one, as far as it is for them.
func TestTokenOfPrefixes(t *testing.T) {
	a, p := newAgents(t), newTab(t)
	p.may = []string{"401", "403"}
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(token+" /web/ /jobs/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a.stop()
	a.start(func(c *agent.Config) { c.TokenFile = file })
	a.campaign("/web/1", "a", "x")
	a.campaign("/jobs/1", "b", "x")

	p.load(a.url)
	p.until(js("#access") + `.open`)
	p.press(token + "\r")
	p.until(js("#access h2") + `.innerText === "Which elections?" && document.activeElement.name === "prefix"`)
	if got := p.text("#access .trouble"); !strings.Contains(got, "/web/, /jobs/") {
		t.Errorf("the page says %q", got)
	}
	p.press("/web/\r")
	p.leads("/web/1", "a")
	if n := eval[int](p, `document.querySelectorAll(".card").length`); n != 1 {
		t.Errorf("%d elections are shown", n)
	}
}

func leaderOf(t *testing.T, a *agents, path string) (locked.Leader, error) {
	l, err := locked.NewFromClient(a.client)
	if err != nil {
		return locked.Leader{}, err
	}
	defer l.Close(context.Background())
	return l.Leader(t.Context(), path)
}
