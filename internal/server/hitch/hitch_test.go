package hitch

import (
	"fmt"
	"net"
	"testing"
	"time"
)

func TestRan(t *testing.T) {
	const slept = 300 * time.Millisecond
	Try(t, func(int) error {
		if ran := Ran(func() { time.Sleep(slept) }); ran < slept/2 || ran > slept+time.Second {
			return fmt.Errorf("%v was counted of %v", ran, slept)
		}
		return nil
	})
}

func TestAddr(t *testing.T) {
	addr := Addr(t)
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("somebody listens")
	}
	for range 3 { // it can be had, again and again
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
		} else {
			c.Close()
		}
		l.Close()
	}
}
