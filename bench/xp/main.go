package main

import (
	"context"
	"fmt"
	"slices"
	"time"
	"os"
	"strconv"

	"github.com/samcday/locked/internal/etcdserver"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func dial(ep string) *clientv3.Client {
	return must(clientv3.New(clientv3.Config{Endpoints: []string{ep}, Logger: zap.NewNop()}))
}

func main() {
	ctx := context.Background()
	ep := ""
	if len(os.Args) > 2 {
		ep = os.Args[2]
	} else {
		s := must(etcdserver.Start(ctx, etcdserver.Config{ElectionTimeout: time.Second}))
		ep = s.Endpoint()
	}
	n := must(strconv.Atoi(os.Args[1]))
	a, b := dial(ep), dial(ep)
	la := must(a.Grant(ctx, 600)).ID
	lb := must(b.Grant(ctx, 600)).ID
	floorC := a.Watch(ctx, "floor")
	type variant struct {
		name string
		f    func(i int) time.Duration
		s    []time.Duration
	}
	hand := func(p string, cmps bool, els bool, dels int, two bool, watchers int) func(i int) time.Duration {
		// setup persistent watches
		wb := b.Watch(ctx, p+":::", clientv3.WithPrefix())
		for range watchers {
			ch := a.Watch(ctx, p+":::", clientv3.WithPrefix())
			go func() { for range ch {} }()
			ch2 := a.Watch(ctx, p)
			go func() { for range ch2 {} }()
		}
		return func(i int) time.Duration {
			tk := fmt.Sprintf("%s:::term/%d", p, i)
			qk := fmt.Sprintf("%s:::queue/%d", p, i)
			nk := fmt.Sprintf("%s:::term/%d", p, i+1000000)
			r := a.Txn(ctx).Then(clientv3.OpPut(p, "0:::v", clientv3.WithLease(la)), clientv3.OpPut(tk, "0:::v", clientv3.WithLease(la)), clientv3.OpPut(qk, "1:::v", clientv3.WithLease(lb))).Commit
			resp := must(r())
			rev := resp.Header.Revision
			for got := false; !got; {
				for _, e := range (<-wb).Events {
					if e.Kv.ModRevision >= rev { got = true }
				}
			}
			_ = must(a.Put(ctx, "floor", "x")); <-floorC
			cs := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(tk), "=", rev), clientv3.Compare(clientv3.ModRevision(p), "<", rev+1), clientv3.Compare(clientv3.ModRevision(qk), "=", rev)}
			if !cmps { cs = nil }
			then := []clientv3.Op{clientv3.OpPut(p, "1:::v", clientv3.WithLease(lb))}
			if two { then = append(then, clientv3.OpPut(nk, "1:::v", clientv3.WithLease(lb))) } else { then = []clientv3.Op{clientv3.OpPut(nk, "1:::v", clientv3.WithLease(lb))} }
			d := []clientv3.Op{clientv3.OpDelete(tk), clientv3.OpDelete(qk), clientv3.OpDelete(p + ":::transfer")}
			then = append(then, d[:dels]...)
			var el []clientv3.Op
			if els { el = []clientv3.Op{clientv3.OpGet(p), clientv3.OpGet(p+":::", clientv3.WithPrefix())} }
			t := time.Now()
			go func() { must(a.Txn(ctx).If(cs...).Then(then...).Else(el...).Commit()) }()
			for {
				for _, e := range (<-wb).Events {
					if string(e.Kv.Key) == nk && e.Type == clientv3.EventTypePut {
						dt := time.Since(t)
						must(a.Txn(ctx).Then(clientv3.OpDelete(p), clientv3.OpDelete(p+":::", clientv3.WithPrefix())).Commit())
						return dt
					}
				}
			}
		}
	}
	vs := []*variant{
		{name: "floor", f: func(i int) time.Duration {
			_ = must(a.Put(ctx, "floor", "x")); <-floorC
			t := time.Now()
			must(a.Put(ctx, "floor", fmt.Sprint(i)))
			<-floorC
			return time.Since(t)
		}},
		{name: "put1 only, other client watches", f: hand("/p1", false, false, 0, false, 0)},
		{name: "put2", f: hand("/p2", false, false, 0, true, 0)},
		{name: "put2 del1", f: hand("/p3", false, false, 1, true, 0)},
		{name: "put2 del2", f: hand("/p3b", false, false, 2, true, 0)},
		{name: "put2 del3", f: hand("/p4", false, false, 3, true, 0)},
		{name: "put2 del3 cmp", f: hand("/p5", true, false, 3, true, 0)},
		{name: "put2 del3 cmp else", f: hand("/p6", true, true, 3, true, 0)},
		{name: "... + 2 watches of the leader", f: hand("/p7", true, true, 3, true, 1)},
		{name: "put2 del1 cmp + 2 watches", f: hand("/p8", true, false, 1, true, 1)},
	}
	for i := range n {
		for _, v := range vs {
			v.s = append(v.s, v.f(i))
		}
	}
	base := time.Duration(0)
	for _, v := range vs {
		slices.Sort(v.s)
		m := v.s[len(v.s)/2]
		if base == 0 { base = m }
		fmt.Printf("%-40s p25 %v p50 %v  %.2fx\n", v.name, v.s[len(v.s)/4], m, float64(m)/float64(base))
	}
}
