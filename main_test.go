package locked_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// endpoints are of the etcd that the examples run on: TestExamples in the module test starts one.
var endpoints = os.Getenv("LOCKED_EXAMPLE_ENDPOINTS")

func TestMain(m *testing.M) {
	flag.Parse()
	if endpoints == "" {
		fmt.Println("the examples are only compiled: with an etcd's HOST:PORT in LOCKED_EXAMPLE_ENDPOINTS they run")
		if err := flag.Set("test.skip", "^Example"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}
