// Program is one that uses etcd's client 3.5.21 in ways that later ones do not allow.
package main

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// size is of what the program keeps: etcd's types have Marshal and Size before 3.7 alone.
func size() (int, error) {
	kv := &mvccpb.KeyValue{Key: []byte("key"), Value: []byte("value")}
	raw, err := kv.Marshal()
	if err != nil || len(raw) != kv.Size() {
		return 0, fmt.Errorf("%d bytes, want %d: %w", len(raw), kv.Size(), err)
	}
	return len(raw), nil
}

// connect is how the program has spoken to etcd all along.
func connect(endpoint string) (*clientv3.Client, error) {
	return clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
}

func main() {
	if err := run(prometheus.NewRegistry()); err != nil {
		panic(err)
	}
	fmt.Println("gRPC", grpc.Version)
}
