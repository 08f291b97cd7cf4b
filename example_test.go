package locked_test

import (
	"context"
	"fmt"
	"log"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked"
)

// Two nodes compete for a path. The first one is elected; when it stops, the second one takes over.
func Example() {
	ctx := context.Background()

	l, err := locked.New(endpoints)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close(ctx)

	a, err := l.Node("/master", locked.NodeConfig{ID: "a", Value: "10.0.0.1:80"})
	if err != nil {
		log.Fatal(err)
	}
	b, err := l.Node("/master", locked.NodeConfig{ID: "b", Value: "10.0.0.2:80"})
	if err != nil {
		log.Fatal(err)
	}
	for _, n := range []*locked.Node{a, b} {
		if err := n.Start(ctx); err != nil {
			log.Fatal(err)
		}
	}
	leader, err := l.Leader(ctx, "/master")
	fmt.Println(leader.ID, leader.Value, err)

	if err := a.Stop(ctx); err != nil {
		log.Fatal(err)
	}
	leader, err = l.Leader(ctx, "/master")
	fmt.Println(leader.ID, leader.Value, err)
	// Output:
	// a 10.0.0.1:80 <nil>
	// b 10.0.0.2:80 <nil>
}

// A node hears that it is elected, and why it is not any more.
func ExampleNode_Events() {
	ctx := context.Background()

	l, err := locked.New(endpoints)
	if err != nil {
		log.Fatal(err)
	}
	n, err := l.Node("/master", locked.NodeConfig{ID: "a", Value: "10.0.0.1:80"})
	if err != nil {
		log.Fatal(err)
	}
	events := n.Events(ctx)
	if err := n.Start(ctx); err != nil {
		log.Fatal(err)
	}
	for e := range events {
		switch e.Kind {
		case locked.EventSelect:
			fmt.Println("elected:", n.IsSelected())
			go l.Close(ctx) // which ends the events
		case locked.EventDeselect:
			fmt.Println(e.Cause)
		}
	}
	// Output:
	// elected: true
	// locked: the node was stopped
}

// Lead runs a function each time the node is elected. Its context ends before anybody else can be elected.
func ExampleNode_Lead() {
	ctx := context.Background()

	l, err := locked.New(endpoints)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close(ctx)
	n, err := l.Node("/master", locked.NodeConfig{ID: "a", Value: "10.0.0.1:80"})
	if err != nil {
		log.Fatal(err)
	}
	err = n.Lead(ctx, func(ctx context.Context, term *locked.Term) error {
		fmt.Println("leading, as long as", ctx.Err() == nil)
		return nil // hands over
	})
	fmt.Println(err)
	// Output:
	// leading, as long as true
	// <nil>
}

// A transaction through a term commits only while the term holds.
func ExampleTerm_Txn() {
	ctx := context.Background()

	l, err := locked.New(endpoints)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close(ctx)
	n, err := l.Node("/master", locked.NodeConfig{ID: "a", Value: "10.0.0.1:80"})
	if err != nil {
		log.Fatal(err)
	}
	var late *locked.Term
	n.Lead(ctx, func(ctx context.Context, term *locked.Term) error {
		late = term
		_, err := term.Txn(ctx).Then(clientv3.OpPut("/config", "of the leader")).Commit()
		fmt.Println(err)
		return err
	})
	_, err = late.Txn(ctx).Then(clientv3.OpPut("/config", "too late")).Commit()
	fmt.Println(err)
	// Output:
	// <nil>
	// locked: the term has ended
}

// Watch follows an election without competing in it.
func ExampleLocker_Watch() {
	ctx := context.Background()

	l, err := locked.New(endpoints)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close(ctx)
	n, err := l.Node("/master", locked.NodeConfig{ID: "a", Value: "10.0.0.1:80"})
	if err != nil {
		log.Fatal(err)
	}

	watching, enough := context.WithCancel(ctx)
	defer enough()
	for e := range l.Watch(watching, "/master") {
		switch e.Kind {
		case locked.EventVacant:
			fmt.Println("nobody is elected")
			if err := n.Start(ctx); err != nil {
				log.Fatal(err)
			}
		case locked.EventChange:
			fmt.Println(e.ID, "is elected:", e.Value)
			enough()
		}
	}
	// Output:
	// nobody is elected
	// a is elected: 10.0.0.1:80
}

// SetValue changes what a node announces, while it leads or waits.
func ExampleNode_SetValue() {
	ctx := context.Background()

	l, err := locked.New(endpoints)
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close(ctx)
	n, err := l.Node("/master", locked.NodeConfig{ID: "a", Value: "starting"})
	if err != nil {
		log.Fatal(err)
	}
	if err := n.Start(ctx); err != nil {
		log.Fatal(err)
	}
	token := n.Token()
	if err := n.SetValue(ctx, "ready"); err != nil {
		log.Fatal(err)
	}
	leader, err := l.Leader(ctx, "/master")
	fmt.Println(leader.Value, leader.Token == token, err)
	// Output:
	// ready true <nil>
}
