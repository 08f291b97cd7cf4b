package agent

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/samcday/locked/cmd/internal/span"
)

// maxBody leaves room for the largest value as base64.
const maxBody = 1 << 20

// params are what a caller gives with a request: in the query, as a form, or as one JSON object of plain values.
type params map[string]string

// readParams reads the query and the body. It refuses names that the request does not take, those that are given twice,
// and what is not UTF-8.
func readParams(w http.ResponseWriter, r *http.Request, names ...string) (params, error) {
	p := params{}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, badField("query", r.URL.RawQuery, "must be NAME=VALUE&…, with what is special escaped by %")
	}
	if err := p.addAll(query, names); err != nil {
		return nil, err
	}
	if r.Body == nil || r.Body == http.NoBody {
		return p, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, err
	}
	return p, p.addBody(r.Header.Get("Content-Type"), body, names)
}

func (p params) addBody(contentType string, body []byte, names []string) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if !utf8.Valid(body) {
		return badField("body", "", "must be UTF-8; a value that is not goes into value_base64")
	}
	kind, _, err := mime.ParseMediaType(contentType)
	if contentType != "" && err != nil {
		kind = contentType
	}
	object := bytes.HasPrefix(bytes.TrimSpace(body), []byte("{"))
	switch {
	case kind == "application/json", kind == "", kind == "application/x-www-form-urlencoded" && object: // as curl -d calls anything
		return p.addJSON(body, names)
	case kind == "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return badField("body", string(body), "must be NAME=VALUE&…, with what is special escaped by %")
		}
		return p.addAll(form, names)
	}
	return newProblem(http.StatusUnsupportedMediaType, "media-type",
		"the body is %q: application/json and application/x-www-form-urlencoded are understood", kind)
}

func (p params) addJSON(body []byte, names []string) error {
	var whole map[string]json.RawMessage
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&whole); err != nil || whole == nil {
		return badField("body", string(body), "must be one JSON object: "+jsonTrouble(err))
	}
	if _, err := d.Token(); err != io.EOF {
		return badField("body", string(body), "must be one JSON object, and nothing after it")
	}
	// What follows cannot fail: it is one JSON object. A map does not tell of a name that is given twice.
	d = json.NewDecoder(bytes.NewReader(body))
	_, _ = d.Token()
	for given := map[string]bool{}; d.More(); {
		t, _ := d.Token()
		name := t.(string)
		var raw json.RawMessage
		_ = d.Decode(&raw)
		if given[name] {
			return badField(name, string(raw), "is given twice")
		}
		given[name] = true
		if err := p.addJSONValue(name, raw, names); err != nil {
			return err
		}
	}
	return nil
}

func (p params) addJSONValue(name string, raw json.RawMessage, names []string) error {
	switch raw[0] {
	case 'n': // null: as if it were not there
		return nil
	case '{', '[':
		return badField(name, "", "must be a string, a number or a boolean")
	case '"':
		if halfPair.Match(wholeEscapes.ReplaceAll(raw, nil)) {
			return badField(name, string(raw), `must be text: a surrogate such as \ud83d is half a character, and must be one of a pair`)
		}
		var s string
		_ = json.Unmarshal(raw, &s) // it is a string
		return p.add(name, s, names)
	}
	return p.add(name, string(raw), names)
}

// [encoding/json] puts U+FFFD where half a character is escaped. What is left of a string without its other escapes shows it.
var (
	wholeEscapes = regexp.MustCompile(`\\(?:[^u]|u[dD][89abAB]..\\u[dD][c-fC-F]..)`)
	halfPair     = regexp.MustCompile(`\\u[dD][89a-fA-F]`)
)

// jsonTrouble says what is wrong with JSON to those who do not know Go.
func jsonTrouble(err error) string {
	var kind *json.UnmarshalTypeError
	if err == nil {
		return "this is null"
	}
	if errors.As(err, &kind) {
		return "this is one " + kind.Value
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}

func (p params) addAll(values url.Values, names []string) error {
	for name, list := range values {
		if len(list) > 1 {
			return badField(name, list[1], "is given twice")
		}
		if err := p.add(name, list[0], names); err != nil {
			return err
		}
	}
	return nil
}

func (p params) add(name, value string, names []string) error {
	_, twice := p[name]
	switch {
	case !slices.Contains(names, name):
		return badField(name, value, fmt.Sprintf("is not known here: there is %s", strings.Join(names, ", ")))
	case twice:
		return badField(name, value, "is given twice")
	case !utf8.ValidString(value):
		return badField(name, strings.ToValidUTF8(value, "?"), "must be UTF-8; a value that is not goes into value_base64")
	}
	p[name] = value
	return nil
}

// value is any bytes: given as they are, or as base64.
func (p params) value() (string, error) {
	plain, isPlain := p["value"]
	encoded, isEncoded := p["value_base64"]
	switch {
	case isPlain && isEncoded:
		return "", badField("value_base64", encoded, "must not be given together with value")
	case isEncoded:
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return "", badField("value_base64", encoded, "must be base64, with padding")
		}
		return string(raw), nil
	case !isPlain:
		return "", badField("value", "", "is required: what the candidate announces when it is elected")
	}
	return plain, nil
}

// duration is a time as Go writes it, such as 1m30s, or a whole number of seconds. Without one it is 0.
func (p params) duration(name string) (time.Duration, error) {
	s, ok := p[name]
	if !ok {
		return 0, nil
	}
	d, err := span.Parse(s)
	if err != nil || d <= 0 {
		return 0, badField(name, s, span.Want)
	}
	return d, nil
}

// electionPath is the election that a URL names: one segment, with or without its leading slash.
func electionPath(r *http.Request) string { return withSlash(r.PathValue("path")) }

func withSlash(path string) string {
	if strings.HasPrefix(path, "/") {
		return path
	}
	return "/" + path
}
