package sim

import (
	"context"
	"os"
	"testing/synctest"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/samcday/locked/internal/election"
)

// Backup is etcd as it was once, to go back to. The zero Backup is an empty etcd.
type Backup struct {
	Cluster  string // the token of another cluster
	dir      string
	revision int64
	view     election.View
}

// BackUp stops the server for a moment, and copies its data. No request is under way then.
func (a *Arena) BackUp() Backup {
	a.T.Helper()
	for _, m := range a.Members {
		m.Link.Cut()
	}
	synctest.Wait()
	got, err := a.Admin().Get(context.Background(), a.Path, clientv3.WithPrefix())
	a.NoError(err)
	b := Backup{dir: a.T.TempDir(), revision: got.Header.Revision, view: *a.View()}
	a.Await("the record", func() bool { return a.recordedUpTo() >= b.view.Term.Mod })
	a.Stop()
	a.NoError(os.CopyFS(b.dir, os.DirFS(a.dir)))
	for _, m := range a.Members {
		m.Link.Heal()
	}
	a.Start()
	return b
}

// GoBack replaces the server, after some time without one, by an empty one or by one with the data of a backup. What was
// recorded until then is held against the laws, and the record begins anew.
func (a *Arena) GoBack(b Backup, downFor time.Duration) {
	a.T.Helper()
	put, err := a.Admin().Put(context.Background(), a.Path+"/beside", "x")
	a.NoError(err)
	a.Await("the record", func() bool { return a.recordedUpTo() >= put.Header.Revision })
	a.Stop()
	dir := a.T.TempDir()
	if b.dir != "" {
		a.NoError(os.CopyFS(dir, os.DirFS(b.dir)))
	}
	a.mu.Lock()
	a.checkKeys()
	a.checkTerms()
	for revision, data := range a.puts() {
		a.earlier[revision] = append(a.earlier[revision], data...)
	}
	a.before, a.etcd, a.readFrom, a.terms = b.view, nil, b.revision+1, map[int64]string{}
	a.backs++
	a.mu.Unlock()
	time.Sleep(downFor)
	a.dir, a.cluster = dir, b.Cluster
	a.Start()
}
