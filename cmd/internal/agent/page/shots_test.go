package page_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var shots = flag.String("shots", "", "write pictures of the page, in many states and sizes, into this `directory`")

var (
	counts = []int{0, 3, 12, 40, 1000} // of elections
	areas  = []string{"jobs", "web", "ingest", "billing", "search", "edge"}
	works  = []string{"cleanup", "frontend", "scheduler", "invoices", "indexer", "leader", "rotate-keys", "compactor", "migrations", "cron"}
)

// many makes n elections as a busy cluster would have them.
func many(n int) []*election {
	var list []*election
	now := time.Now()
	for i := range n {
		e := &election{Path: fmt.Sprintf("/%s/%s", areas[i%len(areas)], works[(i/len(areas))%len(works)]), Revision: int64(4000 + i), Terms: 2}
		if i >= len(areas)*len(works) {
			e.Path += fmt.Sprintf("-%d", i/(len(areas)*len(works)))
		}
		lead(e, i, 1, now.Add(-time.Duration(640+i*97%3000)*time.Second))
		for j := range i % 4 {
			e.Queue = append(e.Queue, someone(i+j+2))
		}
		list = append(list, e)
	}
	return list
}

func someone(i int) member {
	hosts := []string{"ada", "bob", "cleo", "dora", "emil", "fay", "gus"}
	return member{ID: fmt.Sprintf("%s-%d", hosts[i%len(hosts)], i%3+1), Value: fmt.Sprintf("10.0.%d.%d:8080", i%7, i%200+10), Revision: int64(3000 + i)}
}

func lead(e *election, i, token int, since time.Time) {
	m := someone(i)
	m.Token = int64(1200 + i*3 + token)
	e.Leader, e.Since, e.Terms = &m, since, e.Terms+1
}

// stir makes some of them change, as if over the last ten minutes, and leaves one without a leader if there are many.
func stir(f *fake, list []*election) {
	now := time.Now()
	for step, ago := range []time.Duration{520, 470, 400, 333, 290, 240, 190, 150, 118, 90, 61, 34, 12} {
		for k := len(list) / 12; k >= 0; k-- { // the oldest first
			i := (step*7 + k*5) % len(list)
			gap := 0.0
			if (i+step)%3 == 0 {
				gap = float64(1800 + 900*(step%4))
			}
			e := *list[i]
			lead(&e, i+step+1, step*41+2, now.Add(-ago*time.Second-time.Duration(k*700)*time.Millisecond))
			e.GapMS = &gap
			f.put(&e)
			*list[i] = e
		}
	}
	if len(list) > 3 {
		e := *list[7]
		e.Leader, e.Since, e.GapMS = nil, time.Time{}, nil
		f.put(&e)
		*list[7] = e
	}
}

func TestShots(t *testing.T) {
	if *shots == "" {
		t.Skip("no -shots DIRECTORY: there is nothing to make")
	}
	for _, n := range counts {
		for _, theme := range []string{"light", "dark"} {
			for _, width := range []int64{2560, 1440, 360} {
				f, list, p := newFake(t), many(n), newTab(t)
				f.put(list...)
				p.look(theme, width)
				p.open(f.URL)
				if n > 0 {
					stir(f, list)
				}
				p.shot(fmt.Sprintf("%d-%s-%d", n, theme, width))
				if n == 0 {
					f.token = "a token"
					q := newTab(t)
					q.may = []string{"401"}
					q.look(theme, width)
					q.load(f.URL)
					q.until(js("#access") + `.open`)
					q.shot(fmt.Sprintf("token-%s-%d", theme, width))
				}
				if n == 3 {
					p.open(f.URL + "/#" + list[2].Path)
					stir(f, list[2:])
					p.shot(fmt.Sprintf("big-%s-%d", theme, width))
					gone := *list[2]
					gone.Leader, gone.GapMS = nil, nil
					f.put(&gone)
					p.shot(fmt.Sprintf("vacant-%s-%d", theme, width))
					f.put(list[2])
				}
				if n == 40 && theme == "light" {
					eval[bool](p, `document.querySelector(".card .hand:not(:disabled)").click()||true`)
					p.shot(fmt.Sprintf("dialog-%s-%d", theme, width))
					p.press("\x1b")
					f.reach(false)
					p.until(`document.documentElement.classList.contains("stale")`)
					time.Sleep(time.Second)
					p.shot(fmt.Sprintf("stale-%s-%d", theme, width))
					f.reach(true)
				}
			}
		}
	}
}

// look has the page in other colours and another size.
func (p *tab) look(theme string, width int64) {
	p.t.Helper()
	height := map[int64]int64{2560: 1440, 1440: 900, 360: 740}[width]
	p.do(chromedp.EmulateViewport(width, height))
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}},
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *tab) shot(name string) {
	p.t.Helper()
	// Two frames, and what moves.
	eval[bool](p, `new Promise((done) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(() => done(true))), 2200))`)
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*shots, name+".png"), png, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
