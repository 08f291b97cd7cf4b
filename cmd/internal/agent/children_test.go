package agent

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// childMark makes the test's program another one, that a test needs as a process of its own. Its argument is in childArg.
const (
	childMark = "AGENT_TEST_CHILD"
	childArg  = "AGENT_TEST_ARG"
)

var children = map[string]func(){"campaigner": beCampaigner, "agent": beAgent}

// child runs the test's program as another one, and gives what it prints, line by line.
func child(t testing.TB, what, arg string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childMark+"="+what, childArg+"="+arg)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd, bufio.NewScanner(out)
}

// beCampaigner posts a campaign to the URL, and prints the name of each event. If a second address is given it has a
// connection to that too, as a witness of its end.
func beCampaigner() {
	target, witness, _ := strings.Cut(os.Getenv(childArg), " ")
	if witness != "" {
		if _, err := net.Dial("tcp", witness); err != nil {
			panic(err)
		}
	}
	r, err := http.NewRequestWithContext(context.Background(), "POST", target, http.NoBody)
	if err != nil {
		panic(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		panic(err)
	}
	readEvents(resp.Body, func(e event, _ []byte) { fmt.Println(e.name) })
}

// beAgent serves on the etcd at that endpoint, and prints its URL, until it is killed or asked to end. If an address
// follows it listens there.
func beAgent() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	endpoint, listen, _ := strings.Cut(os.Getenv(childArg), " ")
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}, Logger: zap.NewNop()})
	if err != nil {
		panic(err)
	}
	a, err := New(client, Config{Listen: cmp.Or(listen, "127.0.0.1:0")})
	if err != nil {
		panic(err)
	}
	fmt.Println(a.URL())
	if err := a.Serve(ctx); err != nil {
		panic(err)
	}
}

// awaitLine reads until a line comes.
func awaitLine(t testing.TB, lines *bufio.Scanner, want string) {
	t.Helper()
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == want {
			return
		}
	}
	t.Fatalf("the process did not print %q", want)
}
