package agent

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestBadInput(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	s.campaign("web", "leader").await("select")
	const campaign = "/v1/elections/web/campaign"
	for _, test := range []struct {
		method, path, body string
		status             int
		field              string
	}{
		{"POST", campaign, "", 400, "value"},
		{"POST", campaign, "value=", 400, "value"},
		{"POST", campaign, "value=x&id=", 400, "id"},
		{"POST", campaign, "value=x&id=a:::b", 400, "id"},
		{"POST", campaign, "value=x&id=a%0Ab", 400, "id"},
		{"POST", campaign, "value=x&ttl=soon", 400, "ttl"},
		{"POST", campaign, "value=x&ttl=-1", 400, "ttl"},
		{"POST", campaign, "value=x&ttl=2h", 400, "ttl"},
		{"POST", campaign, "value=x&ttl=10&grace=9", 400, "grace"},
		{"POST", campaign, "value=x&tttl=1", 400, "tttl"},
		{"POST", campaign, "value=x&value=y", 400, "value"},
		{"POST", campaign + "?value=x", "value=y", 400, "value"},
		{"POST", campaign, "value=x&value_base64=eA==", 400, "value_base64"},
		{"POST", campaign, "value_base64=%%%", 400, "body"},
		{"POST", campaign, "value_base64=e", 400, "value_base64"},
		{"POST", campaign, "value=%ff", 400, "value"},
		{"POST", campaign, "value=x&on_close=explode", 400, "on_close"},
		{"POST", campaign, `{"value":"x"`, 400, "body"},
		{"POST", campaign, `{"value":"x"} {}`, 400, "body"},
		{"POST", campaign, `{"value":["x"]}`, 400, "value"},
		{"POST", campaign, `{"value":"x","more":1}`, 400, "more"},
		{"POST", campaign, "{\"value\":\"\xff\"}", 400, "body"},
		{"POST", campaign, `{"value":"x","value":"y"}`, 400, "value"},
		{"POST", campaign, `{"value":"x","id":null,"\u0069d":"a"}`, 400, "id"},
		{"POST", campaign, `{"value":"x","id":"\ud83d"}`, 400, "id"},
		{"POST", campaign, `{"value":"\\\uDe00\ud83d"}`, 400, "value"},
		{"POST", campaign, "value=" + strings.Repeat("x", 600<<10), 400, "value"},
		{"POST", campaign, "value=" + strings.Repeat("x", 2<<20), 413, ""},
		{"POST", "/v1/elections/a%3A%3A%3Ab/campaign", "value=x", 400, "path"},
		{"GET", "/v1/elections/a%3A%3A%3Ab", "", 400, "path"},
		{"GET", "/v1/elections/a%3A%3A%3Ab/events", "", 400, "path"},
		{"GET", "/v1/elections/%ff", "", 400, "path"},
		{"GET", "/v1/elections/" + strings.Repeat("x", 2000), "", 400, "path"},
		{"GET", "/v1/elections?more=1", "", 400, "more"},
		{"POST", "/v1/elections/web/transfer", "timeout=1h", 400, "timeout"},
		{"POST", "/v1/elections/web/transfer", "id=nobody", 409, ""},
		{"POST", "/v1/elections/web/value", "value=x", 400, "candidacy"},
		{"GET", "/v1/elections/a/b", "", 404, ""},
		{"PATCH", "/v1/elections/web", "", 405, ""},
		{"DELETE", "/v1/events", "", 405, ""},
	} {
		r := httptest.NewRequest(test.method, test.path, strings.NewReader(test.body))
		r.Host = "localhost"
		if !strings.HasPrefix(test.body, "{") {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		w := httptest.NewRecorder()
		s.agent.server.Handler.ServeHTTP(w, r)
		var p map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Errorf("%s %.60s: %v: %s", test.method, test.path, err, w.Body)
		}
		status := w.Code
		if status != test.status || test.field != "" && p["field"] != test.field {
			t.Errorf("%s %.60s %.60q: %d %v, want %d for %q", test.method, test.path, test.body, status, p, test.status, test.field)
		}
		if p["detail"] == "" || p["title"] == "" || p["type"] == "" {
			t.Errorf("%s %.60s: problem %v", test.method, test.path, p)
		}
	}
}

// What JSON says is what is taken.
func TestJSON(t *testing.T) {
	for body, want := range map[string]string{
		`{"value":"\ud83d\uDE00"}`: "😀", `{"value":"\\ud83d"}`: `\ud83d`, `{"value":"\ufffd\u0041"}`: "\ufffdA",
		`{"value":"\n\ud83d\ude00\ud83d\ude00"}`: "\n😀😀", `{"value":1.50}`: "1.50", ` {"value":true} `: "true",
	} {
		p := params{}
		if err := p.addJSON([]byte(body), []string{"value"}); err != nil || p["value"] != want {
			t.Errorf("%s is %q, want %q: %v", body, p["value"], want, err)
		}
	}
	for _, body := range []string{"null", "[]", `"value"`, "1", "{} {}", `{"value":"\udc00\ud83d"}`} {
		if err := (params{}).addJSON([]byte(body), []string{"value"}); err == nil {
			t.Errorf("%s is taken", body)
		}
	}
}

// A path is one segment, and its leading slash may be left out.
func TestPaths(t *testing.T) {
	for segment, want := range map[string]string{
		"master": "/master", "%2Fmaster": "/master", "a%2Fb": "/a/b", "%2Fa%2Fb": "/a/b", "a%2F": "/a/", "%2F%2Fa": "//a",
		"..%2F..%2Fa": "/../../a", "a%20b": "/a b", "a+b": "/a+b", "%C3%A4": "/ä", "a%25b": "/a%b", ".well": "/.well",
	} {
		mux := http.NewServeMux()
		got := ""
		mux.HandleFunc("GET /v1/elections/{path}/leader", func(_ http.ResponseWriter, r *http.Request) { got = electionPath(r) })
		mux.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/v1/elections/"+segment+"/leader", nil))
		if got != want {
			t.Errorf("%s is %q, want %q", segment, got, want)
		}
	}
}

// No answer leads to another election: http.ServeMux would send a path that is not clean elsewhere, with %2F escaped twice.
func TestUncleanPaths(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	for path, status := range map[string]int{
		"//v1/elections/a%2Fb/leader": 404, "/v1//elections/a%2Fb/leader": 404, "/v1/elections//leader": 404, "/v1/elections/../leader": 404,
		"/v1/elections/./leader": 404, "/./v1/elections/a%2Fb/leader": 404, "/v1/elections/": 404, "/v1/elections/a/leader/": 404, "/v1/..": 404,
		"/v1/elections/%2E%2E/leader": 503, "/v1/elections/a%2F%2Fb/leader": 503, "/": 200, "/healthz/": 404,
	} {
		if got, _ := s.do("GET", path, nil); got != status {
			t.Errorf("%s: %d, want %d", path, got, status)
		}
	}
	if status, kind := s.do("POST", "//v1/elections/a%2Fb/campaign?value=x", nil); status != 404 || kind != "no-resource" {
		t.Errorf("a campaign at an unclean path: %d %s", status, kind)
	}
}

func TestDuration(t *testing.T) {
	for s, want := range map[string]time.Duration{"10": 10 * time.Second, "1m30s": 90 * time.Second, "1500ms": 1500 * time.Millisecond} {
		if got, err := (params{"ttl": s}).duration("ttl"); err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", "-5", "5 s", "1e3", "99999999999"} {
		if got, err := (params{"ttl": s}).duration("ttl"); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
}

// Whatever comes, what is taken is UTF-8, and known by name; the rest is refused with a problem that can be told.
func FuzzParams(f *testing.F) {
	f.Add("id=a&value=b", "application/json", []byte(`{"ttl":10}`))
	f.Add("", "application/x-www-form-urlencoded", []byte(`value=%ff`))
	f.Add("value_base64=/w==", "", []byte(`{"value":null,"id":true}`))
	f.Add("a;b", "text/plain; charset", []byte("{}"))
	names := []string{"id", "value", "value_base64", "ttl"}
	f.Fuzz(func(t *testing.T, query, contentType string, body []byte) {
		r := &http.Request{Method: "POST", URL: &url.URL{RawQuery: query}, Header: http.Header{"Content-Type": {contentType}}}
		r.Body = http.MaxBytesReader(nil, readCloser{strings.NewReader(string(body))}, 1<<30)
		w := httptest.NewRecorder()
		p, err := readParams(w, r, names...)
		if err == nil {
			_, err = p.value()
			if _, derr := p.duration("ttl"); err == nil {
				err = derr
			}
		}
		if err != nil {
			problemOf(err).write(w)
			if w.Code < 400 || w.Code >= 500 || !utf8.Valid(w.Body.Bytes()) {
				t.Errorf("%d: %s", w.Code, w.Body)
			}
			return
		}
		for name, v := range p {
			if !utf8.ValidString(v) || name != "id" && name != "value" && name != "value_base64" && name != "ttl" {
				t.Errorf("%q: %q", name, v)
			}
		}
	})
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }
