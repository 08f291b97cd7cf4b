package cluster

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"go.uber.org/goleak"

	"github.com/samcday/locked/internal/server/hitch"
)

// roleVar makes the test binary an etcd program.
const roleVar = "LOCKED_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleVar) != "" {
		etcdmain.Main(os.Args)
		return
	}
	goleak.VerifyTestMain(m)
}

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

func connected(t *testing.T) (*server, *Link, client) {
	t.Helper()
	s := newServer(t)
	l, err := NewLink(s.Addr().String)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	c := connect(t, l)
	c.says(t, "hello\n")
	s.gets(t, "hello\n")
	c.hears(t, "hello\n")
	return s, l, c
}

func connect(t *testing.T, l *Link) client {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr())
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
	s, l, c := connected(t)
	l.Up.Shut()
	l.Up.Shut() // by two faults
	c.says(t, "held\n")
	s.getsNothing(t)
	l.Up.Open()
	s.getsNothing(t)
	l.Up.Open()
	s.gets(t, "held\n")
	c.hears(t, "held\n")

	l.Down.Shut()
	c.says(t, "answered\n")
	s.gets(t, "answered\n")
	c.hearsNothing(t)
	if l.Up.Touched() != 1 || l.Down.Touched() != 1 {
		t.Errorf("touched %d and %d pieces", l.Up.Touched(), l.Down.Touched())
	}
	l.Down.Open()
	c.hears(t, "answered\n")
}

func TestDrip(t *testing.T) {
	_, l, c := connected(t)
	l.Down.Drip(30 * time.Millisecond)
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
	s, l, c := connected(t)
	l.Down.Lag(100 * time.Millisecond)
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
	_, l, c := connected(t)
	if n := l.Reset(); n != 1 {
		t.Errorf("reset %d connections", n)
	}
	c.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := c.ReadString('\n'); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client saw %v", err)
	}
}

// What was asked before a moment is delivered, and what came later is not; the client is not told of either.
func TestCapture(t *testing.T) {
	s, l, c := connected(t)
	seal, deliver := l.Capture()
	c.says(t, "put\n")
	for l.Up.Touched() == 0 {
		time.Sleep(time.Millisecond)
	}
	if n := seal(); n != 1 {
		t.Errorf("%d connections sent something", n)
	}
	c.says(t, "given up\n")
	s.getsNothing(t)
	late := connect(t, l)
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
	l, err := NewLink(func() string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr())
	if err == nil { // it may be reset before it is known to be there
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(time.Minute))
		_, err = conn.Read(make([]byte, 1))
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the client saw %v", err)
	}
}
