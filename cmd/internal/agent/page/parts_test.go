package page_test

import "testing"

// The parts that need no page around them, in the browser that runs them.

func TestEventParser(t *testing.T) {
	f, p := newFake(t), newTab(t)
	p.open(f.URL)
	stream := "\uFEFF: hello\r\nretry: 1000\n\nevent: a\ndata: 1\n\ndata:x\r\ndata:  y\r\rid: 5\nevent: nothing\n\nevent: b\rdata\n\ndata: unfinished"
	want := `[{"name":"a","data":"1"},{"name":"message","data":"x\n y"},{"name":"b","data":""}]`
	whole := eval[string](p, `import("/page/sse.js").then(({ EventParser }) => JSON.stringify(new EventParser().push(`+quote(stream)+`)))`)
	if whole != want {
		t.Errorf("as a whole: %s, want %s", whole, want)
	}
	// Cut anywhere, into two and into single characters.
	cut := eval[int](p, `import("/page/sse.js").then(({ EventParser }) => {
		const s = `+quote(stream)+`, want = `+quote(want)+`;
		const read = (pieces) => { const p = new EventParser(); return JSON.stringify(pieces.flatMap((x) => p.push(x))); };
		let bad = read([...s]) === want ? 0 : 1;
		for (let i = 0; i <= s.length; i++) if (read([s.slice(0, i), s.slice(i)]) !== want) bad++;
		return bad;
	})`)
	if cut != 0 {
		t.Errorf("cut into pieces, it was read differently %d times", cut)
	}
}

func TestFormat(t *testing.T) {
	f, p := newFake(t), newTab(t)
	p.open(f.URL)
	for expression, want := range map[string]string{
		`f.elapsed(0)`:                           "0 s",
		`f.elapsed(-5)`:                          "0 s",
		`f.elapsed(59999)`:                       "59 s",
		`f.elapsed(60000)`:                       "1 m 00 s",
		`f.elapsed(3599999)`:                     "59 m 59 s",
		`f.elapsed(11220000)`:                    "3 h 07 m",
		`f.elapsed(187200000)`:                   "2 d 04 h",
		`f.measured(0.42)`:                       "0.4 ms",
		`f.measured(31.2)`:                       "31 ms",
		`f.measured(2310)`:                       "2.31 s",
		`f.measured(23100)`:                      "23.1 s",
		`f.measured(64000)`:                      "1 m 04 s",
		`f.count(1, "election")`:                 "1 election",
		`f.count(1000, "election")`:              "1,000 elections",
		`f.parts("/a/b").join("|")`:              "/a/|b",
		`f.parts("/").join("|")`:                 "|/",
		`f.parts("/a/").join("|")`:               "/|a/",
		`f.link("/a b/%/ü")`:                     "#/a%20b/%25/%C3%BC",
		`f.linked(f.link("/a b/%/ü?#"))`:         "/a b/%/ü?#",
		`String(f.linked("#%zz"))`:               "null",
		`String(f.linked(""))`:                   "null",
		`f.value({ value: "" }).note`:            "no value",
		`f.value({ value_base64: "/w==" }).text`: "ff",
		`f.value({ value_base64: "/w==" }).note`: "1 byte, not UTF-8",
		`f.clock(Date.parse("2026-01-02T03:04:05"), Date.parse("2026-01-05T00:00:00"))`: "2026-01-02 03:04:05",
		`f.clock(Date.parse("2026-01-02T03:04:05"), Date.parse("2026-01-02T04:00:00"))`: "03:04:05",
	} {
		if got := eval[string](p, `import("/page/format.js").then((f) => `+expression+`)`); got != want {
			t.Errorf("%s is %q, want %q", expression, got, want)
		}
	}
}
