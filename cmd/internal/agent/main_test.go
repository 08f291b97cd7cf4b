package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/etcdtest"
)

func TestMain(m *testing.M) {
	if child := os.Getenv(childMark); child != "" {
		children[child]()
		return
	}
	goleak.VerifyTestMain(m)
}

// patience says that a test has failed, and nothing else.
const patience = 30 * time.Second

// testEtcd is an etcd of the test's own.
func testEtcd(t testing.TB) *clientv3.Client {
	t.Helper()
	s, err := etcdtest.Start(t.Context(), etcdserver.Config{ElectionTimeout: 50 * time.Millisecond, NoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return testClient(t, s.Endpoint())
}

func testClient(t testing.TB, endpoint string) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func testLocker(t testing.TB) *locked.Locker {
	t.Helper()
	l, err := locked.New("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

// server is an agent under test, and a caller of it.
type server struct {
	t      testing.TB
	agent  *Agent
	client *http.Client
	stop   func() // asks it to end, and waits
	header http.Header
	url    string

	late      bool // it need not hand over in time at its end
	unchecked bool // nothing is checked against the description, which takes longer than what is measured
}

func newServer(t testing.TB, change ...func(*Config)) *server {
	t.Helper()
	return serverOn(t, testEtcd(t), change...)
}

func serverOn(t testing.TB, etcd *clientv3.Client, change ...func(*Config)) *server {
	t.Helper()
	cfg := Config{Listen: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(testLog{t}, nil))}
	for _, f := range change {
		f(&cfg)
	}
	a, err := New(etcd, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- a.Serve(ctx) }()
	s := &server{t: t, agent: a, client: &http.Client{Transport: &http.Transport{}}, header: http.Header{}, url: a.URL()}
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil && !s.late {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(s.stop)
	t.Cleanup(s.client.CloseIdleConnections)
	return s
}

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

// request sends one, and checks it and its answer against the description.
func (s *server) request(ctx context.Context, method, path, body string) *http.Response {
	s.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	for name, values := range s.header {
		r.Header[name] = values
	}
	if strings.HasPrefix(body, "{") {
		r.Header.Set("Content-Type", "application/json")
	} else if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := s.client.Do(r)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	if !s.unchecked {
		openAPI(s.t).check(s.t, r, []byte(body), resp)
	}
	return resp
}

// call sends a request, and gives the status and what it answered as JSON.
func (s *server) call(method, path, body string) (int, map[string]any) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	resp := s.request(ctx, method, path, body)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	var v map[string]any
	if len(answer) > 0 && strings.Contains(resp.Header.Get("Content-Type"), "json") {
		if err := json.Unmarshal(answer, &v); err != nil {
			s.t.Fatalf("%s %s: %v: %s", method, path, err, answer)
		}
	}
	return resp.StatusCode, v
}

// want is call, with the status that is expected.
func (s *server) want(status int, method, path, body string) map[string]any {
	s.t.Helper()
	got, answer := s.call(method, path, body)
	if got != status {
		s.t.Fatalf("%s %s %s: status %d, want %d: %v", method, path, body, got, status, answer)
	}
	return answer
}

// event is one Server-Sent Event.
type event struct {
	name, id string
	data     map[string]any
	at       time.Time // it was read
}

func (e event) number(field string) int64 {
	n, _ := e.data[field].(float64)
	return int64(n)
}

// listening is an open stream of events.
type listening struct {
	t      testing.TB
	events chan event // closed when the stream has ended
	close  func()
}

// listen opens a stream.
func (s *server) listen(method, path, body string) *listening {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	resp := s.request(ctx, method, path, body)
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		s.t.Fatalf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	route, _, _ := strings.Cut(path, "?")
	if rest, ok := strings.CutPrefix(route, "/v1/elections/"); ok {
		_, last, _ := strings.Cut(rest, "/")
		route = "/v1/elections/{path}/" + last
	}
	l := &listening{t: s.t, events: make(chan event, 10_000), close: cancel}
	read := make(chan struct{})
	go func() {
		defer close(read)
		defer close(l.events)
		defer resp.Body.Close()
		readEvents(resp.Body, func(e event, raw []byte) {
			if !s.unchecked {
				openAPI(s.t).checkEvent(s.t, route, e.name, raw)
			}
			l.events <- e
		})
	}()
	s.t.Cleanup(func() {
		cancel()
		<-read
	})
	return l
}

// readEvents reads a stream to its end.
func readEvents(r io.Reader, f func(e event, raw []byte)) {
	lines := bufio.NewReader(r)
	var e event
	var raw []byte
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch string(name) {
		case "event":
			e.name = string(value)
		case "id":
			e.id = string(value)
		case "data":
			raw = value
		case "":
			if raw != nil {
				e.at = time.Now()
				_ = json.Unmarshal(raw, &e.data) // checkEvent says what is wrong
				f(e, raw)
			}
			e, raw = event{}, nil
		}
	}
}

// await gives the first event with the name.
func (l *listening) await(name string) event {
	l.t.Helper()
	return l.awaitWhere(name, func(event) bool { return true })
}

// awaitWhere gives the first event with the name for which f is true.
func (l *listening) awaitWhere(name string, f func(event) bool) event {
	l.t.Helper()
	limit := time.After(patience)
	for {
		select {
		case e, ok := <-l.events:
			if !ok {
				l.t.Fatalf("the stream has ended, before the event %s", name)
			}
			if e.name == name && f(e) {
				return e
			}
		case <-limit:
			l.t.Fatalf("no event %s came", name)
		}
	}
}

// ended waits for the end of the stream, and gives the events before it.
func (l *listening) ended() []event {
	l.t.Helper()
	limit := time.After(patience)
	var all []event
	for {
		select {
		case e, ok := <-l.events:
			if !ok {
				return all
			}
			all = append(all, e)
		case <-limit:
			l.t.Fatal("the stream has not ended")
		}
	}
}

// campaigner is an open campaign.
type campaigner struct {
	*listening
	s         *server
	id, path  string
	candidacy string
}

// campaign opens one. Its lease outlasts a machine that stands still for a while, unless a shorter TTL is asked for.
func (s *server) campaign(path, id string, more ...string) *campaigner {
	s.t.Helper()
	form := url.Values{"id": {id}, "value": {"value of " + id}, "ttl": {"60s"}}
	for i := 0; i+1 < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	segment := url.PathEscape(path)
	l := s.listen("POST", "/v1/elections/"+segment+"/campaign", form.Encode())
	opening := l.await("candidacy")
	return &campaigner{l, s, id, "/v1/elections/" + segment, opening.data["candidacy"].(string)}
}

// waits returns when the campaigner is in the queue.
func (c *campaigner) waits() {
	c.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		list := c.s.want(200, "GET", c.path+"/candidates", "")["candidates"].([]any)
		for _, other := range list {
			if m := other.(map[string]any); m["id"] == c.id && m["token"] == nil {
				return
			}
		}
	}
	c.t.Fatalf("%s is not in the queue", c.id)
}
