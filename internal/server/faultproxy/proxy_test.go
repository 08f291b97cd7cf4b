package faultproxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/samcday/locked/internal/server/hitch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server tells what it was sent, line by line, and answers each line with itself.
type server struct {
	net.Listener
	got chan string
}

func newServer(t *testing.T) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{l, make(chan string, 100)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					s.got <- line
					io.WriteString(c, line)
				}
			}()
		}
	}()
	return s
}

func (s *server) gets(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-s.got:
		if got != want {
			t.Fatalf("the server got %q, want %q", got, want)
		}
	case <-time.After(time.Minute):
		t.Fatalf("the server never got %q", want)
	}
}

func (s *server) getsNothing(t *testing.T) {
	t.Helper()
	select {
	case got := <-s.got:
		t.Fatalf("the server got %q", got)
	case <-time.After(50 * time.Millisecond):
	}
}

type client struct {
	*net.TCPConn
	*bufio.Reader
}

func (c client) Read(b []byte) (int, error) { return c.Reader.Read(b) }

func connected(t *testing.T) (*server, *Proxy, client) {
	t.Helper()
	s := newServer(t)
	p, err := New(s.Addr().String)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	c := connect(t, p)
	c.says(t, "hello\n")
	s.gets(t, "hello\n")
	c.hears(t, "hello\n")
	return s, p, c
}

func connect(t *testing.T, p *Proxy) client {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return client{conn.(*net.TCPConn), bufio.NewReader(conn)}
}

func (c client) says(t *testing.T, line string) {
	t.Helper()
	if _, err := io.WriteString(c.TCPConn, line); err != nil {
		t.Fatal(err)
	}
}

func (c client) hears(t *testing.T, want string) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Minute))
	if got, err := c.ReadString('\n'); got != want {
		t.Fatalf("the client heard %q (%v), want %q", got, err, want)
	}
}

func (c client) hearsNothing(t *testing.T) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if got, err := c.ReadString('\n'); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the client heard %q (%v)", got, err)
	}
}

func TestShutOneWay(t *testing.T) {
	s, p, c := connected(t)
	p.Up.Shut()
	p.Up.Shut() // by two faults
	c.says(t, "held\n")
	s.getsNothing(t)
	p.Up.Open()
	s.getsNothing(t)
	p.Up.Open()
	s.gets(t, "held\n")
	c.hears(t, "held\n")

	p.Down.Shut()
	c.says(t, "answered\n")
	s.gets(t, "answered\n")
	c.hearsNothing(t)
	if p.Up.Touched() != 1 || p.Down.Touched() != 1 {
		t.Errorf("touched %d and %d pieces", p.Up.Touched(), p.Down.Touched())
	}
	p.Down.Open()
	c.hears(t, "answered\n")
}

// A network that loses every packet tells neither side, and what was sent goes on when it is healed.
func TestShut(t *testing.T) {
	s, p, c := connected(t)
	heal := Shut(p.Up, p.Down)
	c.says(t, "held\n")
	s.getsNothing(t)
	c.hearsNothing(t)
	heal()
	s.gets(t, "held\n")
	c.hears(t, "held\n")
}

// Who is cut off sees that, and cannot connect until it is healed.
func TestCut(t *testing.T) {
	s, p, c := connected(t)
	p.Cut()
	c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := c.ReadString('\n'); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the client saw %v", err)
	}
	refused(t, p)
	p.Heal()
	c = connect(t, p)
	c.says(t, "again\n")
	s.gets(t, "again\n")
	c.hears(t, "again\n")
}

func TestDrip(t *testing.T) {
	_, p, c := connected(t)
	p.Down.Drip(30 * time.Millisecond)
	begin := time.Now()
	for range 3 {
		c.says(t, "x\n")
		c.hears(t, "x\n")
	}
	if took := time.Since(begin); took < 90*time.Millisecond {
		t.Errorf("three answers took %v", took)
	}
}

// Many pieces are late together, not one after the other.
func TestLag(t *testing.T) {
	s, p, c := connected(t)
	p.Down.Lag(100 * time.Millisecond)
	begin := time.Now()
	ran := hitch.Ran(func() {
		for range 20 {
			c.says(t, "x\n")
			s.gets(t, "x\n")
		}
		for range 20 {
			c.hears(t, "x\n")
		}
	})
	if took := time.Since(begin); took < 100*time.Millisecond || ran > time.Second {
		t.Errorf("twenty answers took %v", took)
	}
}

func TestReset(t *testing.T) {
	_, p, c := connected(t)
	if n := p.Reset(); n != 1 {
		t.Errorf("reset %d connections", n)
	}
	c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := c.ReadString('\n'); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client saw %v", err)
	}
}

// What was asked before a moment is delivered, and what came later is not; the client is not told of either.
func TestCapture(t *testing.T) {
	s, p, c := connected(t)
	seal, deliver := p.Capture()
	c.says(t, "put\n")
	for p.Up.Touched() == 0 {
		time.Sleep(time.Millisecond)
	}
	if n := seal(); n != 1 {
		t.Errorf("%d connections sent something", n)
	}
	c.says(t, "given up\n")
	s.getsNothing(t)
	late := connect(t, p)
	late.says(t, "later\n")
	s.getsNothing(t)
	deliver()
	s.gets(t, "put\n")
	s.gets(t, "later\n") // the new connection goes on
	s.getsNothing(t)
	c.SetReadDeadline(time.Now().Add(time.Minute))
	for {
		if _, err := c.ReadString('\n'); err != nil {
			break
		}
	}
}

func TestNobodyListens(t *testing.T) {
	p, err := New(func() string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	refused(t, p)
}

func refused(t *testing.T, p *Proxy) {
	t.Helper()
	conn, err := net.Dial("tcp", p.Addr())
	if err == nil { // it may be reset before it is known to be there
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		_, err = conn.Read(make([]byte, 1))
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the client saw %v", err)
	}
}
