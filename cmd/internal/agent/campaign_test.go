package agent

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/samcday/locked/internal/clock"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/etcdtest"
	"github.com/samcday/locked/internal/server/hitch"
)

// Elections as they are told over real connections, in real time. What must not happen before a promise has run out is
// compared with the uptime in the promise.

// lastPromise is the latest uptime up to which a caller was told to lead.
func lastPromise(events []event) (until time.Duration) {
	for _, e := range events {
		until = max(until, time.Duration(e.number("good_until_uptime_ms"))*time.Millisecond)
		at, _ := e.data["at"].(string)
		if made, err := time.Parse(time.RFC3339, at); err == nil && e.number("good_for_ms") > 0 { // who is elsewhere is told no more
			until = max(until, clock.Uptime()-time.Since(made)+time.Duration(e.number("good_for_ms"))*time.Millisecond)
		}
	}
	return until
}

// drained gives the events that have come so far.
func (l *listening) drained() (all []event) {
	for {
		select {
		case e, ok := <-l.events:
			if !ok {
				return all
			}
			all = append(all, e)
		default:
			return all
		}
	}
}

// selectedAt gives the uptime at which the stream told of a select, which is taken when that is read.
func (l *listening) selectedAt() time.Duration {
	l.t.Helper()
	e := l.await("select")
	return clock.Uptime() - time.Since(e.at)
}

func needSharedClock(t *testing.T) {
	if !clock.Shared {
		t.Skip("this system has no clock that promises can be compared with")
	}
}

func TestKilledProcess(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	cmd, out := child(t, "campaigner", s.agent.URL()+"/v1/elections/web/campaign?id=a&value=x&ttl=600s")
	awaitLine(t, out, "select")
	b := s.campaign("web", "b")
	b.awaitWhere("change", func(e event) bool { return e.data["id"] == "a" })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	b.await("select") // long before what the first one was told has run out
}

// A connection that means nothing, because it may not be the caller's own, does not end what he was told.
func TestClosedConnectionIsHeld(t *testing.T) {
	t.Parallel()
	needSharedClock(t)
	for name, open := range map[string]func(s *server, path string) *campaigner{
		"asked for": func(s *server, path string) *campaigner {
			return s.campaign(path, "a", "ttl", "2s", "on_close", "hold")
		},
		"a proxy": func(s *server, path string) *campaigner {
			s.header.Set("X-Forwarded-For", "10.0.0.1")
			defer s.header.Del("X-Forwarded-For")
			a := s.campaign(path, "a", "ttl", "2s")
			if e := a.await("change"); e.data["good_until_uptime_ms"] != nil {
				s.t.Errorf("somebody who may be elsewhere is told of this machine's clock: %v", e.data)
			}
			return a
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t)
			hitch.Try(t, func(try int) error {
				path := fmt.Sprintf("web%d", try)
				a := open(s, path)
				selected := a.await("select")
				b := s.campaign(path, "b", "ttl", "2s")
				b.await("change")
				a.close()
				at := b.selectedAt()
				promised := lastPromise(append(a.drained(), selected))
				if promised == 0 || at < promised+400*time.Millisecond {
					t.Errorf("the next one was elected %v after what the first one was told had run out, which is less than its grace", at-promised)
				}
				if at > promised+3*time.Second {
					return fmt.Errorf("the next one was elected %v after the promise had run out", at-promised)
				}
				return nil
			})
		})
	}
}

// While a candidacy is held, its caller cannot come back under the same id; but he can say goodbye.
func TestHeldCandidacy(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.campaign("web", "a", "ttl", "600s", "on_close", "hold") // it is held for minutes
	a.await("select")
	b := s.campaign("web", "b")
	b.await("change")
	a.close()
	for status := 200; status != 410; time.Sleep(time.Millisecond) {
		status, _ = s.call("GET", a.path+"/campaign?candidacy="+a.candidacy, "")
	}
	p := s.want(409, "POST", a.path+"/campaign", "id=a&value=x")
	if retry, _ := p["retry_after_ms"].(float64); p["type"] != "urn:locked:taken" || retry < 1000 {
		t.Errorf("problem %v", p)
	}
	s.want(204, "DELETE", a.path+"/campaign?candidacy="+a.candidacy, "")
	b.await("select")
	s.campaign("web", "a").await("change")
}

func TestSameIDTwice(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.campaign("web", "a")
	a.await("select")
	if p := s.want(409, "POST", "/v1/elections/web/campaign", `{"id":"a","value":"x"}`); p["field"] != "id" {
		t.Errorf("problem %v", p)
	}
	a.close()
	hitch.Try(t, func(try int) error { // the first is waited for, if its end is noticed in time
		path := fmt.Sprintf("again%d", try)
		a := s.campaign(path, "a")
		a.await("select")
		a.close()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		resp := s.request(ctx, "POST", a.path+"/campaign", "id=a&value=x&ttl=60s")
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		elected := false
		readEvents(resp.Body, func(e event, _ []byte) {
			if e.name == "select" {
				elected = true
				cancel()
			}
		})
		if !elected {
			t.Error("the second was not elected")
		}
		return nil
	})
}

// A transfer waits until the old leader can believe nothing any more, or says that it has ended its work.
func TestTransfer(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for many seconds: run it without -short")
	}
	t.Parallel()
	needSharedClock(t)
	s := newServer(t)
	a := s.campaign("web", "a", "ttl", "10s")
	before := a.await("select")
	b := s.campaign("web", "b", "ttl", "600s") // who could believe for long
	b.waits()

	if leader := s.want(200, "POST", "/v1/elections/web/transfer", ""); leader["id"] != "b" {
		t.Errorf("leader %v", leader)
	}
	at := b.selectedAt()
	told := append(a.drained(), before)
	if promised := lastPromise(told); at < promised {
		t.Errorf("the next one was elected %v before what the first one was told had run out", promised-at)
	}
	var reason any
	for _, e := range told {
		if e.name == "deselect" {
			reason = e.data["reason"]
			if e.number("good_for_ms") != 0 || e.data["leads"] != false {
				t.Errorf("deselect %v", e.data)
			}
		}
	}
	if reason != "transferred" {
		t.Errorf("deselected for the reason %v", reason)
	}

	go func() { // a client that does as it is told
		ended := b.await("deselect")
		s.want(204, "POST", "/v1/elections/web/release", fmt.Sprintf(`{"candidacy":%q,"token":%d}`, b.candidacy, ended.number("token")))
	}()
	s.want(200, "POST", "/v1/elections/web/transfer", `{"id":"a","timeout":30}`) // it is not waited for what the other one could believe
	again := a.await("select").number("token")
	release := func(token int64) string { return fmt.Sprintf("candidacy=%s&token=%d", a.candidacy, token) }
	for _, token := range []int64{again, again + 1} {
		if p := s.want(409, "POST", "/v1/elections/web/release", release(token)); p["type"] != "urn:locked:leads" {
			t.Errorf("problem %v", p)
		}
	}
	s.want(400, "POST", "/v1/elections/web/release", "candidacy="+a.candidacy)

	// One that comes a whole term late does not end the waiting for this one.
	s.want(204, "POST", "/v1/elections/web/release", release(again-1))
	start := time.Now()
	s.want(200, "POST", "/v1/elections/web/transfer", `{"id":"b","timeout":30}`)
	if took := time.Since(start); took < time.Second {
		t.Errorf("a transfer took %v from one that has released an earlier term only", took)
	}
}

// rawCampaign opens a campaign on a connection that nobody reads from.
func rawCampaign(t *testing.T, s *server, query string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.agent.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := fmt.Fprintf(c, "POST /v1/elections/web/campaign?%s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", query); err != nil {
		t.Fatal(err)
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	l := s.listen("GET", "/v1/elections/web/events", "")
	l.awaitWhere("change", func(e event) bool { return e.data["id"] == params.Get("id") })
	l.close()
	return c
}

// readRaw reads the events of a raw connection to its end.
func readRaw(t *testing.T, c net.Conn) (all []event) {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	readEvents(resp.Body, func(e event, _ []byte) { all = append(all, e) })
	return all
}

// Who does not read is not believed to be there: as a process that is stopped, or hangs. But what it was sent it may believe,
// whenever it reads it.
func TestPeerThatDoesNotRead(t *testing.T) {
	t.Parallel()
	needSharedClock(t)
	s := newServer(t)
	a := rawCampaign(t, s, "id=a&value=x&ttl=2s")
	b := s.campaign("web", "b", "ttl", "2s")
	b.awaitWhere("change", func(e event) bool { return e.data["id"] == "a" })
	at := b.selectedAt()
	promised := lastPromise(readRaw(t, a))
	if promised == 0 || at < promised {
		t.Errorf("the next one was elected %v before what the first one was sent had run out", promised-at)
	}
}

// The same for a real process, that goes on after a while.
func TestStoppedProcess(t *testing.T) {
	t.Parallel()
	needSharedClock(t)
	s := newServer(t)
	cmd, out := child(t, "campaigner", s.agent.URL()+"/v1/elections/web/campaign?id=a&value=x&ttl=2s")
	awaitLine(t, out, "select")
	b := s.campaign("web", "b", "ttl", "2s")
	b.await("change")
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b.await("select")
	for s.agent.registry.named("/web", "a") != nil { // it was given up
		time.Sleep(time.Millisecond)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for out.Scan() { // to the end of its stream
	}
}

// Somebody who sends more than the request, and then is gone, is noticed too: net/http alone would not.
func TestGarbageAfterTheRequest(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := rawCampaign(t, s, "id=a&value=x&ttl=600s")
	b := s.campaign("web", "b")
	b.awaitWhere("change", func(e event) bool { return e.data["id"] == "a" })
	if _, err := io.WriteString(a, strings.Repeat("garbage", 10_000)); err != nil {
		t.Fatal(err)
	}
	a.Close()
	start := time.Now()
	if took := b.await("select").at.Sub(start); took > 10*time.Second { // after 15 s the next write would fail
		t.Errorf("the next one was elected after %v", took)
	}
}

// Who goes on sending is not listened to for ever. He may still believe what he was told.
func TestEndlessGarbage(t *testing.T) {
	t.Parallel()
	needSharedClock(t)
	s := newServer(t)
	a := rawCampaign(t, s, "id=a&value=x&ttl=2s")
	b := s.campaign("web", "b", "ttl", "2s")
	b.awaitWhere("change", func(e event) bool { return e.data["id"] == "a" })
	read := make(chan []event, 1)
	go func() { read <- readRaw(t, a) }()
	_ = a.SetWriteDeadline(time.Now().Add(patience))
	if n, err := io.Copy(a, rand.New(rand.NewSource(1))); errors.Is(err, os.ErrDeadlineExceeded) || n > 64<<20 {
		t.Fatalf("%d bytes of garbage were taken: %v", n, err)
	}
	at := b.selectedAt()
	if promised := lastPromise(<-read); at < promised {
		t.Errorf("the next one was elected %v before what the first one was told had run out", promised-at)
	}
}

// What proxies do that add no header, and what callers do not.
func TestProxies(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for head, want := range map[string]string{
		"HTTP/1.1\r\nHost: localhost\r\n":                                  onCloseRelease,
		"HTTP/1.0\r\nHost: localhost\r\n":                                  onCloseHold,
		"HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-Proto: http\r\n":       onCloseHold,
		"HTTP/1.1\r\nHost: localhost\r\nForwarded: for=\"[::1]\"\r\n":      onCloseHold,
		"HTTP/1.1\r\nHost: localhost\r\nvia: 1.1 x\r\nX-Real-IP:\r\n":      onCloseHold,
		"HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nVia-x: y\r\n": onCloseRelease,
	} {
		c, err := net.Dial("tcp", s.agent.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "POST /v1/elections/web/campaign?value=x&ttl=2s "+head+"\r\n"); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewScanner(c)
		for r.Scan() && !strings.Contains(r.Text(), `"on_close":`) {
		}
		if !strings.Contains(r.Text(), `"on_close":"`+want+`"`) {
			t.Errorf("%q: %s, want %s", head, r.Text(), want)
		}
	}
}

func TestSetValue(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.campaign("web", "a")
	token := a.await("select").number("token")
	s.want(204, "POST", "/v1/elections/web/value", `{"candidacy":"`+a.candidacy+`","value":"new"}`)
	e := a.awaitWhere("change", func(e event) bool { return e.data["value"] == "new" })
	if e.number("token") != token {
		t.Errorf("token %v, was %v", e.number("token"), token)
	}
	s.want(204, "POST", "/v1/elections/web/value", `{"candidacy":"`+a.candidacy+`","value_base64":"/wA="}`)
	a.awaitWhere("change", func(e event) bool { return e.data["value_base64"] == "/wA=" })
	if leader := s.want(200, "GET", "/v1/elections/web", ""); leader["value_base64"] != "/wA=" || leader["value"] != nil {
		t.Errorf("leader %v", leader)
	}
	s.want(410, "POST", "/v1/elections/web/value", `{"candidacy":"wrong","value":"x"}`)
	s.want(410, "POST", "/v1/elections/other/value", `{"candidacy":"`+a.candidacy+`","value":"x"}`)
}

// What a caller asks for himself may be counted from when he asked.
func TestStanding(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	a := s.campaign("web", "a", "ttl", "60s")
	a.await("select")
	d := s.want(200, "GET", "/v1/elections/web/campaign?candidacy="+a.candidacy, "")
	if d["leads"] != true || d["good_for_ms"].(float64) <= 0 || d["good_for_ms"].(float64) > 48_000 || d["token"] == nil {
		t.Errorf("standing %v", d)
	}
	s.want(400, "GET", "/v1/elections/web/campaign?candidacy=", "")
}

// A campaign of which etcd is not there opens, says so, and goes on when it has come.
func TestCampaignWithoutEtcd(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for many seconds: run it without -short")
	}
	t.Parallel()
	s := serverOn(t, testClient(t, "127.0.0.1:1"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp := s.request(ctx, "POST", "/v1/elections/web/campaign?value=x&ttl=2s", "")
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("status %s", resp.Status)
	}
	failed := make(chan event, 1)
	go readEvents(resp.Body, func(e event, _ []byte) {
		if e.name == "error" {
			select {
			case failed <- e:
			default:
			}
		}
	})
	select {
	case e := <-failed:
		if !strings.Contains(e.data["cause"].(string), "127.0.0.1:1") {
			t.Errorf("error %v", e.data)
		}
	case <-ctx.Done():
		t.Fatal("no error event")
	}
	if p := s.want(503, "GET", "/readyz", ""); p["type"] != "urn:locked:etcd-unreachable" {
		t.Errorf("problem %v", p)
	}
	s.want(200, "GET", "/healthz", "")
}

// Who leaves is told that it is done only when it is.
func TestLeaving(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for many seconds: run it without -short")
	}
	t.Parallel()
	cfg := etcdserver.Config{ElectionTimeout: 50 * time.Millisecond, NoFsync: true, DataDir: t.TempDir(), Listen: hitch.Addr(t)}
	etcd, err := etcdtest.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := serverOn(t, testClient(t, etcd.Endpoint()))
	a, b := s.campaign("web", "a"), s.campaign("other", "b")
	a.await("select")
	b.await("select")
	s.want(204, "DELETE", a.path+"/campaign?candidacy="+a.candidacy, "")
	if e := a.await("end"); e.data["cause"] != "the campaign was left" {
		t.Errorf("end %v", e.data)
	}
	if err := etcd.Close(); err != nil {
		t.Fatal(err)
	}
	if p := s.want(504, "DELETE", b.path+"/campaign?candidacy="+b.candidacy, ""); p["type"] != "urn:locked:timeout" {
		t.Errorf("problem %v", p)
	}
	if etcd, err = etcdtest.Start(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { etcd.Close() })
	c := s.campaign("other", "c")
	c.await("select")
	c.close()
	s.stop() // while there is an etcd
}
