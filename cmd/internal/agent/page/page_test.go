package page_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/samcday/locked/cmd/internal/agent/page"
)

func get(t *testing.T, path string, header ...string) (*http.Response, string) {
	t.Helper()
	mux := http.NewServeMux()
	for _, pattern := range page.Patterns {
		mux.Handle("GET "+pattern, page.Handler())
	}
	r := httptest.NewRequest("GET", path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	body, err := io.ReadAll(w.Result().Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Result(), string(body)
}

// Everything that a file refers to is served, in the type that browsers insist on, and with the policy.
func TestFiles(t *testing.T) {
	refers := regexp.MustCompile(`(?:href|src)="(page/[^"]+)"|from "\./([^"]+)"`)
	seen := map[string]bool{}
	var look func(path string)
	look = func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		resp, body := get(t, path)
		if resp.StatusCode != http.StatusOK || body == "" {
			t.Fatalf("%s: %s", path, resp.Status)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
			"Cache-Control":           "no-cache",
			"Content-Security-Policy": "default-src 'none'",
		} {
			if got := resp.Header.Get(name); !strings.HasPrefix(got, want) {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if again, body := get(t, path, "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("%s: asked again: %s", path, again.Status)
		}
		for _, m := range refers.FindAllStringSubmatch(body, -1) {
			look("/page/" + strings.TrimPrefix(m[1], "page/") + m[2])
		}
	}
	look("/")
	if len(seen) < 10 {
		t.Errorf("only %v", seen)
	}
	for path, want := range map[string]string{"/": "text/html", "/page/app.js": "text/javascript", "/page/style.css": "text/css", "/page/icon.svg": "image/svg+xml"} {
		if resp, _ := get(t, path); !strings.HasPrefix(resp.Header.Get("Content-Type"), want) {
			t.Errorf("%s is %s", path, resp.Header.Get("Content-Type"))
		}
	}
}

func TestPolicy(t *testing.T) {
	resp, body := get(t, "/")
	policy := resp.Header.Get("Content-Security-Policy")
	for _, want := range []string{"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy is without %s", want)
		}
	}
	if strings.Contains(policy, "unsafe") || strings.Contains(policy, "http") {
		t.Errorf("the policy is %s", policy)
	}
	if inline := regexp.MustCompile(`(?i)<style|style=|\son\w+=|<script(>| [^>]*[^"]>)|https?://`).FindString(body); inline != "" {
		t.Errorf("the page has %q in it", inline)
	}
	if resp, _ := get(t, "/page/nothing.js"); resp.StatusCode != http.StatusNotFound {
		t.Errorf("a file that does not exist: %s", resp.Status)
	}
}
