package agent

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"
	verrors "github.com/pb33f/libopenapi-validator/errors"
	"github.com/pb33f/libopenapi-validator/schema_validation"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
)

// description is openapi.yaml, as something that requests, answers and events are checked against.
type description struct {
	model     *v3.Document
	validator validator.Validator
	events    map[string]map[string]string // path -> event -> schema of its data
	mu        sync.Mutex
}

var describe = sync.OnceValues(func() (*description, error) {
	doc, err := libopenapi.NewDocument(OpenAPI)
	if err != nil {
		return nil, err
	}
	model, err := doc.BuildV3Model()
	if err != nil {
		return nil, err
	}
	v, errs := validator.NewValidator(doc, config.WithURLEncodedBodyValidation(), config.WithFormatAssertions(), config.WithoutSecurityValidation())
	if len(errs) > 0 {
		return nil, errs[0]
	}
	d := &description{model: &model.Model, validator: v, events: map[string]map[string]string{}}
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `(\\w+)` \\|")
	for path, item := range model.Model.Paths.PathItems.FromOldest() {
		for _, op := range item.GetOperations().FromOldest() {
			for _, m := range row.FindAllStringSubmatch(op.Description, -1) {
				if d.events[path] == nil {
					d.events[path] = map[string]string{}
				}
				d.events[path][m[1]] = m[2]
			}
		}
	}
	return d, nil
})

func openAPI(t testing.TB) *description {
	t.Helper()
	d, err := describe()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOpenAPIIsValid(t *testing.T) {
	d := openAPI(t)
	if ok, errs := d.validator.ValidateDocument(); !ok {
		t.Fatal(explain(errs))
	}
}

// Every route is described, and nothing is described that is no route.
func TestOpenAPIRoutes(t *testing.T) {
	var described, served []string
	for path, item := range openAPI(t).model.Paths.PathItems.FromOldest() {
		for method := range item.GetOperations().FromOldest() {
			described = append(described, strings.ToUpper(method)+" "+path)
		}
	}
	for _, r := range (&Agent{locker: testLocker(t), registry: newRegistry(1), listener: &listener{}}).table() {
		served = append(served, r.method+" "+r.pattern)
	}
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Errorf("described:\n%s\nserved:\n%s", strings.Join(described, "\n"), strings.Join(served, "\n"))
	}
}

// What a POST takes in its body it takes in the query too, and both are described.
func TestOpenAPIQueries(t *testing.T) {
	for path, item := range openAPI(t).model.Paths.PathItems.FromOldest() {
		if item.Post == nil {
			continue
		}
		var query, body []string
		for _, p := range item.Post.Parameters {
			query = append(query, p.Name)
		}
		for kind, media := range item.Post.RequestBody.Content.FromOldest() {
			body = slices.Sorted(media.Schema.Schema().Properties.KeysFromOldest())
			if slices.Sort(query); !slices.Equal(query, body) {
				t.Errorf("POST %s: the query has %v, a body of %s %v", path, query, kind, body)
			}
		}
	}
}

func explain(errs []*verrors.ValidationError) string {
	var b strings.Builder
	for _, e := range errs {
		b.WriteString(e.Message + ": " + e.Reason + "\n")
		for _, s := range e.SchemaValidationErrors {
			b.WriteString("  " + s.Reason + " at " + s.FieldPath + "\n")
		}
	}
	return b.String()
}

// check checks a request and its answer, but for the body of a stream.
func (d *description) check(t testing.TB, r *http.Request, body []byte, resp *http.Response) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	r.Body = io.NopCloser(bytes.NewReader(body))
	if resp.StatusCode < 400 {
		if ok, errs := d.validator.ValidateHttpRequestSync(r); !ok {
			t.Errorf("%s %s is not as described: %s", r.Method, r.URL, explain(errs))
		}
	}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/") {
		return
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s %s: %v", r.Method, r.URL, err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	if ok, errs := d.validator.ValidateHttpResponse(r, resp); !ok {
		t.Errorf("the answer to %s %s is not as described: %s\n%s", r.Method, r.URL, explain(errs), answer)
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
}

// checkEvent checks the data of an event of a stream.
func (d *description) checkEvent(t testing.TB, stream, event string, data []byte) {
	t.Helper()
	name, ok := d.events[stream][event]
	if !ok {
		t.Errorf("%s: the event %s is not described: %s", stream, event, data)
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	schema := d.model.Components.Schemas.GetOrZero(name).Schema()
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Errorf("%s: %s: %v: %s", stream, event, err, data)
		return
	}
	if ok, errs := schema_validation.NewSchemaValidator().ValidateSchemaObject(schema, v); !ok {
		t.Errorf("%s: the event %s is not as described: %s\n%s", stream, event, explain(errs), data)
	}
}
