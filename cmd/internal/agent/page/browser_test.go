package page_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// patience says that a test has failed, and nothing else.
const patience = 30 * time.Second

// browser is one for all tests. Each has a tab of its own, which shares nothing with the others.
var browser struct {
	once sync.Once
	ctx  context.Context
	stop func()
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if browser.stop != nil {
		browser.stop()
	}
	os.Exit(code)
}

func startBrowser() {
	path, err := exec.LookPath("chromium")
	if err != nil {
		browser.err = err
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which it wants as root
	}
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stop := chromedp.NewContext(allocator)
	browser.ctx, browser.stop = ctx, func() { stop(); stopAllocator() }
	browser.err = chromedp.Do(ctx)
}

// tab is one page in the browser. When the test ends, it looks at what the page has logged and asked for.
type tab struct {
	t     testing.TB
	ctx   context.Context
	may   []string // parts of messages that are expected
	mu    sync.Mutex
	home  string   // the agent
	said  []string // on the console: errors and warnings
	asked []string // URLs
}

// newTab opens an empty one, as large as a desk's screen.
func newTab(t testing.TB) *tab {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes many seconds of both cores: run it without -short")
	}
	browser.once.Do(startBrowser)
	if browser.ctx == nil {
		t.Skipf("SKIPPED, nothing was tested: there is no chromium here (%v)", browser.err)
	}
	if browser.err != nil {
		t.Fatal(browser.err)
	}
	ctx, cancel := chromedp.NewContext(browser.ctx, chromedp.WithNewBrowserContext())
	p := &tab{t: t, ctx: ctx}
	console, requests := chromedp.Console(ctx), chromedp.Events(ctx, network.RequestWillBeSent)
	p.do(chromedp.EmulateViewport(1440, 900))
	var reading sync.WaitGroup
	reading.Go(func() {
		for m, err := range console {
			if err == nil && m.Type != chromedp.ConsoleLog && m.Type != chromedp.ConsoleInfo && m.Type != chromedp.ConsoleDebug {
				p.note(&p.said, fmt.Sprintf("%s: %s (%s)", m.Type, m.Text, m.URL))
			}
		}
	})
	reading.Go(func() {
		for r, err := range requests {
			if err == nil && r.Request != nil {
				p.note(&p.asked, r.Request.URL)
			}
		}
	})
	t.Cleanup(func() {
		if t.Failed() {
			p.dump()
		}
		for limit := time.Now().Add(patience); p.home != "" && p.requests() < fewest && time.Now().Before(limit); {
			time.Sleep(time.Millisecond) // what was not read yet would be lost
		}
		cancel()
		reading.Wait()
		p.judge()
	})
	return p
}

func (p *tab) note(list *[]string, s string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	*list = append(*list, s)
}

// fewest requests that a page sends.
const fewest = 10

func (p *tab) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.asked)
}

// judge fails the test if the page complained, or asked anybody but the agent.
func (p *tab) judge() {
	for _, url := range p.asked {
		if !strings.HasPrefix(url, p.home) {
			p.t.Errorf("the page has asked for %s", url)
		}
	}
	if p.home != "" && len(p.asked) < fewest {
		p.t.Errorf("requests were not seen: only %v", p.asked)
	}
	for _, s := range p.said {
		expected := false
		for _, part := range p.may {
			expected = expected || strings.Contains(s, part)
		}
		if !expected {
			p.t.Errorf("the console says %s", s)
		}
	}
}

// dump leaves a picture of a page that failed a test.
func (p *tab) dump() {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	if png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot()); err == nil {
		if f, err := os.CreateTemp("", "page-*.png"); err == nil {
			_, _ = f.Write(png)
			p.t.Logf("how the page looked: %s", f.Name())
			f.Close()
		}
	}
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	// The first use of a tab must be with the context that it lives in.
	done := make(chan error, 1)
	go func() { done <- chromedp.Do(p.ctx, steps...) }()
	select {
	case err := <-done:
		if err != nil {
			p.t.Fatal(err)
		}
	case <-time.After(patience):
		p.t.Fatal("the browser does not do that")
	}
}

// open loads a page, and waits until it has drawn everything that the agent has told.
func (p *tab) open(address string) {
	p.t.Helper()
	p.load(address)
	p.until(`document.documentElement.dataset.drawn === "all"`)
}

// load only loads it.
func (p *tab) load(address string) {
	p.t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.home = u.Scheme + "://" + u.Host + "/"
	p.do(chromedp.Navigate(address))
}

// eval gives the value of an expression, which may be a promise.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits until an expression is true. It is looked at in each frame.
func (p *tab) until(condition string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	wait := `new Promise((done) => { const look = () => (` + condition + `) ? done(true) : setTimeout(look, 10); look(); })`
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](wait, chromedp.EvalAwaitPromise)); err != nil {
		p.t.Fatalf("never true: %s: %v", condition, err)
	}
}

// when waits until an expression is true, and gives the value that another one has at that moment.
func when[T any](p *tab, condition, expression string) T {
	p.t.Helper()
	return eval[T](p, `new Promise((done) => { const look = () => (`+condition+`) ? done(`+expression+`) : setTimeout(look, 10); look(); })`)
}

// text gives what can be read in the first element that a selector matches.
func (p *tab) text(selector string) string {
	p.t.Helper()
	return eval[string](p, `document.querySelector(`+quote(selector)+`).innerText`)
}

func (p *tab) press(keys string) {
	p.t.Helper()
	p.do(chromedp.KeyEvent(keys))
}

func (p *tab) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// quickest gives the shortest of the times that something took, in three tries, or fewer if one was within the limit. A
// machine that stands still makes one of them slow, and a page that is slow all of them.
func quickest(limit float64, try func(n int) float64) float64 {
	least := try(0)
	for n := 1; n < 3 && least > limit; n++ {
		least = min(least, try(n))
	}
	return least
}

// card is a selector of an election in the list.
func card(path string) string {
	var b strings.Builder
	for _, r := range path {
		fmt.Fprintf(&b, `\%x `, r)
	}
	return `.card[data-path="` + b.String() + `"]`
}

// js is an expression for the first element that a selector matches.
func js(selector string) string { return `document.querySelector(` + quote(selector) + `)` }

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}
