// Package page is what people see of an agent: one page that shows every election, live. It is made of the files in
// static, as they are: there is no build step, and the page asks nobody but the agent for anything.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed static
var static embed.FS

// Patterns are what [Handler] is to be mounted at, for GET: the page, and the files that it loads.
var Patterns = []string{"/{$}", "/page/{file}"}

// policy lets the page run its own scripts and talk to the agent, and nothing else. Nothing that an election says can
// become markup: trusted types forbid every way there is.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// file is one of the page's, with the hash of its content by which browsers know whether they have it.
type file struct {
	name, contentType, etag string
	content                 []byte
}

// Handler serves the page.
func Handler() http.Handler {
	files := load()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("file")
		if r.URL.Path == "/" {
			name = "index.html"
		}
		f, ok := files[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		f.serve(w, r)
	})
}

// load reads the files. They are part of the program: that cannot fail.
func load() map[string]file {
	files := map[string]file{}
	entries, err := fs.ReadDir(static, "static")
	if err != nil {
		panic(err)
	}
	for _, e := range entries {
		content, err := fs.ReadFile(static, "static/"+e.Name())
		if err != nil {
			panic(err)
		}
		hash := sha256.Sum256(content)
		files[e.Name()] = file{e.Name(), types[path.Ext(e.Name())], `"` + hex.EncodeToString(hash[:12]) + `"`, content}
	}
	return files
}

func (f file) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("ETag", f.etag)
	h.Set("Cache-Control", "no-cache") // a browser asks, and is told that nothing has changed
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(f.content))
}
