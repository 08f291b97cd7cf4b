package main

import (
	"context"
	goflag "flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/samcday/locked"
	"github.com/samcday/locked/internal/server/etcdserver"
	"github.com/samcday/locked/internal/server/etcdtest"
	"github.com/samcday/locked/internal/server/hitch"
	"github.com/samcday/locked/internal/server/port"
)

func TestMain(m *testing.M) {
	commands := map[string]func(){"locked": main}
	maps.Copy(commands, programs)
	maps.Copy(signals, moreSignals)
	if signal.Ignored(syscall.SIGHUP) && commands[filepath.Base(os.Args[0])] == nil { // as nohup leaves it: children must not inherit that
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
	_ = goflag.Set("test.parallel", "6") // most scripts wait most of the time; what the command line says comes later
	testscript.Main(m, commands)
}

// TestScripts runs the real command, as the scripts in testdata say. Besides what every such script can do, there is:
//
//	exits CODE locked ...     run to the end, and compare the exit code; stdout and stderr can be looked at then
//	start NAME locked ...     run beside the script
//	expect NAME REGEXP [VAR]  wait until NAME prints a match behind the last one; VAR gets what is in parentheses
//	begins NAME REGEXP ...    start and expect; again if it has ended before, and the machine was seen to hold us up
//	signal NAME INT           as kill -INT does
//	rename OLD NEW            as mv does, over what is there
//	reads URL CODE REGEXP     ask over HTTP until it answers so
//	unread NAME               read no more of what it prints
//	ends NAME CODE            wait until it has ended, and all that it started; then as exits
//	certs                     make ca.pem, server.pem, server.key, client.pem and client.key
//	etcd VAR                  VAR gets an etcd of the script's own
//	login ENDPOINT            make the etcd users root, with the password secret, and bob, who may do nothing
//	key ENDPOINT KEY          print what etcd holds under a key
//	queued ENDPOINT PATH ID   wait until a candidate is in the queue
//	ports VAR...              each VAR gets an address of this machine where nobody listens
//	hole VAR                  VAR gets an address that takes connections, and never answers
//	falls VAR                 wait until somebody has connected there, who has not been waited for yet
//
// $ETCD is an etcd for all scripts: each has a path of its own there. The condition [release] holds where that is another
// release than the one built in.
func TestScripts(t *testing.T) {
	t.Parallel() // the others wait no less
	s, err := etcdtest.Start(t.Context(), etcdserver.Config{NoFsync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // after the scripts, which run in parallel
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		WorkdirRoot:         t.TempDir(), // else a run of some of the scripts leaves an empty directory
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("ETCD", s.Endpoint())
			e.Values[processesKey{}] = map[string]*process{}
			e.Values[holesKey{}] = map[string]net.Listener{}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			switch cond {
			case "release": // the etcd of the scripts is not the one built in
				return os.Getenv(etcdtest.Variable) != "", nil
			case "faulty": // it is one that the doctor fails
				return etcdtest.Before(t, "3.4.22") || !etcdtest.Before(t, "3.5.0") && etcdtest.Before(t, "3.5.6"), nil
			case "open": // it tells everybody how it stands, with users too
				return etcdtest.Before(t, "3.4.42") || !etcdtest.Before(t, "3.5.0") && etcdtest.Before(t, "3.5.28"), nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "start": start, "expect": expect, "begins": begins, "signal": sendSignal, "unread": unread, "ends": ends, "rename": rename, "reads": reads,
			"certs": certs, "etcd": ownEtcd, "login": login, "key": key, "queued": queued, "ports": ports, "hole": hole, "falls": falls,
		},
	})
}

type holesKey struct{}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) > 1, "exits CODE COMMAND...")
	p := launch(ts, args[1:])
	p.ends(ts, code(ts, args[0]))
}

func start(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) > 1, "start NAME COMMAND...")
	ts.Value(processesKey{}).(map[string]*process)[args[0]] = launch(ts, args[1:])
}

func expect(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && (len(args) == 2 || len(args) == 3), "expect NAME REGEXP [VAR]")
	found := named(ts, args[0]).expect(ts, args[1])
	if len(args) == 3 {
		need(ts, len(found) == 2, "one pair of parentheses")
		ts.Setenv(args[2], found[1])
	}
}

func begins(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) > 2, "begins NAME REGEXP COMMAND...")
	for try := 1; ; try++ {
		start(ts, neg, append(args[:1:1], args[2:]...))
		p, found := named(ts, args[0]), false
		held := hitch.HeldUp(func() { found = p.await(ts, args[1]) != nil })
		switch {
		case found:
			return
		case !held || try == 5:
			p.expect(ts, args[1]) // which says what was there instead
		}
		ts.Logf("%v has ended; the machine has held us up: once more", p.cmd.Args)
	}
}

func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) == 2 && signals[args[1]] != nil, "signal NAME INT|TERM|...")
	ts.Check(named(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

func rename(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) == 2, "rename OLD NEW")
	ts.Check(os.Rename(ts.MkAbs(args[0]), ts.MkAbs(args[1])))
}

func reads(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) == 3, "reads URL CODE REGEXP")
	want, re := code(ts, args[1]), regexp.MustCompile(args[2])
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get(args[0])
		if err == nil {
			body, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == want && re.Match(body) {
				return
			}
			err = fmt.Errorf("%s: %s", resp.Status, body)
		}
		if time.Now().After(end) {
			ts.Fatalf("%s: %v", args[0], err)
		}
	}
}

func unread(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) == 1, "unread NAME")
	named(ts, args[0]).stdout.close()
}

func ends(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) == 2, "ends NAME CODE")
	named(ts, args[0]).ends(ts, code(ts, args[1]))
}

func ownEtcd(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) == 1, "etcd VAR")
	s, err := etcdtest.Start(context.Background(), etcdserver.Config{NoFsync: true})
	ts.Check(err)
	ts.Defer(func() { ts.Check(s.Close()) })
	ts.Setenv(args[0], s.Endpoint())
}

func login(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) == 1, "login ENDPOINT")
	c, ctx := client(ts, args[0])
	_, err := c.RoleAdd(ctx, "root")
	ts.Check(err)
	for _, name := range []string{"root", "bob"} {
		_, err = c.UserAdd(ctx, name, "secret")
		ts.Check(err)
	}
	_, err = c.UserGrantRole(ctx, "root", "root")
	ts.Check(err)
	_, err = c.AuthEnable(ctx)
	ts.Check(err)
}

func key(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) == 2, "key ENDPOINT KEY")
	c, ctx := client(ts, args[0])
	resp, err := c.Get(ctx, args[1])
	ts.Check(err)
	out := ts.Stdout()
	for _, kv := range resp.Kvs {
		fmt.Fprintf(out, "%s", kv.Value)
	}
}

func queued(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) == 3, "queued ENDPOINT PATH ID")
	c, ctx := client(ts, args[0])
	l, err := locked.NewFromClient(c, locked.WithRequestTimeout(time.Minute))
	ts.Check(err)
	defer l.Close(ctx)
	for changes := c.Watch(ctx, args[1]+":::", clientv3.WithPrefix(), clientv3.WithCreatedNotify()); ; <-changes {
		candidates, err := l.Candidates(ctx, args[1])
		ts.Check(err)
		for _, other := range candidates {
			if other.ID == args[2] && other.Token == 0 {
				return
			}
		}
	}
}

func ports(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) > 0, "ports VAR...")
	for _, name := range args {
		addr, release, err := port.Keep()
		ts.Check(err)
		ts.Defer(release)
		ts.Setenv(name, addr)
	}
}

func hole(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) == 1, "hole VAR")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[0], l.Addr().String())
	ts.Value(holesKey{}).(map[string]net.Listener)[args[0]] = l
}

func falls(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, !neg && len(args) == 1, "falls HOLE")
	l := ts.Value(holesKey{}).(map[string]net.Listener)[args[0]].(*net.TCPListener)
	ts.Check(l.SetDeadline(time.Now().Add(patience)))
	c, err := l.Accept()
	ts.Check(err)
	ts.Defer(func() { c.Close() })
}

func client(ts *testscript.TestScript, endpoint string) (*clientv3.Client, context.Context) {
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	ts.Defer(func() {
		cancel()
		c.Close()
	})
	return c, ctx
}

func need(ts *testscript.TestScript, ok bool, usage string) {
	if !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

func code(ts *testscript.TestScript, s string) int {
	n, err := strconv.Atoi(s)
	ts.Check(err)
	return n
}

func writeFile(ts *testscript.TestScript, name string, data []byte) {
	ts.Check(os.WriteFile(ts.MkAbs(name), data, 0o600))
}
