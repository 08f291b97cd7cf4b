package etcdproc

import (
	"context"
	"crypto/tls"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

const (
	firstPause = 10 * time.Millisecond // between two connections that were refused
	longPause  = 100 * time.Millisecond
)

// Await waits until an etcd serves at HOST:PORT. Without a TLS configuration it is asked in the clear.
func Await(ctx context.Context, addr string, secure *tls.Config) error {
	creds := insecure.NewCredentials()
	if secure != nil {
		creds = credentials.NewTLS(secure)
	}
	patience := backoff.Config{BaseDelay: firstPause, Multiplier: 1.5, MaxDelay: longPause}
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(creds),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: patience, MinConnectTimeout: time.Minute}), grpc.WithNoProxy())
	if err != nil {
		return err
	}
	defer conn.Close()
	for client := pb.NewMaintenanceClient(conn); ; {
		_, err := client.Status(ctx, &pb.StatusRequest{}, grpc.WaitForReady(true))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case status.Code(err) != codes.Unavailable:
			return nil // one that wants a password serves, too
		}
	}
}
