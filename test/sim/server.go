package sim

import (
	"context"
	"fmt"
	"sync"
	"time"
	_ "unsafe" // for go:linkname

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/types"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/config"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/lease"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/protobuf/proto"
)

// simServer is one run of the etcd server.
type simServer struct {
	etcd     *etcdserver.EtcdServer
	grpc     *grpc.Server
	listener *listener
	admin    *clientv3.Client
	served   chan struct{}
	guests   sync.WaitGroup // requests that come beside gRPC
}

// running is the server, or nil while there is none.
func (s *Sim) running() *simServer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

// enter gives the server to a request that comes beside gRPC, or nil while there is none: it runs until done.
func (s *Sim) enter() (srv *simServer, done func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server == nil {
		return nil, nil
	}
	s.server.guests.Add(1)
	return s.server, s.server.guests.Done
}

// Start starts the server and returns once it takes requests, after about one
// simulated second: its election.
func (s *Sim) Start() {
	s.T.Helper()
	etcd, err := etcdserver.NewServer(serverConfig(s.dir, s.cluster))
	if err != nil {
		s.T.Fatalf("etcd: %v", err)
	}
	etcd.Start()
	<-etcd.ReadyNotify()
	srv := &simServer{etcd: etcd, listener: newListener(), admin: v3client.New(etcd), served: make(chan struct{})}
	srv.grpc = v3rpc.Server(etcd, nil, nil, serverOptions()...)
	go func() {
		defer close(srv.served)
		_ = srv.grpc.Serve(srv.listener) // fails when the listener closes
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server != nil {
		panic("sim: started twice")
	}
	s.server = srv
}

// Stop ends the server, connections first. Clients dial again by themselves and
// are refused until Start; their requests wait for a connection, as long as their
// contexts let them. A client behind a cut learns of the stop when healed.
func (s *Sim) Stop() {
	s.mu.Lock()
	srv := s.server
	s.server = nil
	s.mu.Unlock()
	if srv == nil {
		return
	}
	srv.grpc.Stop()
	<-srv.served
	srv.guests.Wait()
	srv.admin.Close()
	srv.etcd.HardStop()
}

// Restart stops the server, waits, and starts it again on the same data. gRPC
// clients wait between two dials, longer each time, up to two minutes.
func (s *Sim) Restart(downFor time.Duration) {
	s.T.Helper()
	s.Stop()
	time.Sleep(downFor)
	s.Start()
}

// Admin is a client inside the server, which no fault reaches: for edits by
// hand and for checks. It lives until the server stops.
func (s *Sim) Admin() *clientv3.Client {
	srv := s.running()
	if srv == nil {
		panic("sim: no admin while the server is stopped")
	}
	return srv.admin
}

// Compact drops all history before the current revision and returns that.
func (s *Sim) Compact() int64 {
	s.T.Helper()
	c := s.Admin()
	r, err := c.Get(s.T.Context(), "compact")
	if err == nil {
		_, err = c.Compact(s.T.Context(), r.Header.Revision, clientv3.WithCompactPhysical())
	}
	if err != nil {
		s.T.Fatalf("compact: %v", err)
	}
	return r.Header.Revision
}

// simServerConfig is what etcd runs with by default, on one member without peers.
func serverConfig(dir, cluster string) config.ServerConfig {
	def := embed.NewConfig()
	urls := types.MustNewURLs([]string{"http://127.0.0.1:1"}) // never opened
	return config.ServerConfig{
		Name: "default", DataDir: dir, Logger: zap.NewNop(), Metrics: def.Metrics,
		ClientURLs: urls, PeerURLs: urls, NewCluster: true, InitialClusterToken: "sim" + cluster,
		InitialPeerURLsMap: types.URLsMap{"default": urls},
		TickMs:             def.TickMs, ElectionTicks: def.ElectionTicks(), PreVote: def.PreVote,
		InitialElectionTickAdvance: true, StrictReconfigCheck: true, MaxLearners: def.MaxLearners,
		SnapshotCount: def.SnapshotCount, SnapshotCatchUpEntries: def.SnapshotCatchUpEntries,
		MaxSnapFiles: def.MaxSnapFiles, MaxWALFiles: def.MaxWalFiles,
		MaxTxnOps: def.MaxTxnOps, MaxRequestBytes: def.MaxRequestBytes, MaxConcurrentStreams: def.MaxConcurrentStreams,
		AuthToken: def.AuthToken, BcryptCost: 4, TokenTTL: def.AuthTokenTTL, // 4: the cheapest; passwords are not the matter here
		WarningApplyDuration: def.WarningApplyDuration, WarningUnaryRequestDuration: def.WarningUnaryRequestDuration,
		WatchProgressNotifyInterval: def.WatchProgressNotifyInterval, CompactionBatchLimit: def.CompactionBatchLimit,
		DowngradeCheckTime: def.DowngradeCheckTime, ServerFeatureGate: def.ServerFeatureGate,
		V2Deprecation: def.V2DeprecationEffective(), UnsafeNoFsync: true,
	}
}

// simGRPCOptions are embed's, with the faults behind etcd's own interceptors. The
// enforcement policy matters: under gRPC's default a client that pings more than
// once in five minutes is thrown out.
func serverOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: embed.DefaultGRPCKeepAliveMinTime}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: embed.DefaultGRPCKeepAliveInterval, Timeout: embed.DefaultGRPCKeepAliveTimeout,
		}),
		grpc.ChainUnaryInterceptor(faultUnary),
		grpc.ChainStreamInterceptor(faultStream),
		grpc.WaitForHandlers(true), // none may outlive its server's storage
	}
}

// serve lets a request reach the server that runs now, if one does, beside all connections.
func (s *Sim) serve(ctx context.Context, msg proto.Message) (any, error) {
	srv, done := s.enter()
	if srv == nil {
		return nil, ErrFault
	}
	defer done()
	kv, leases := v3rpc.NewQuotaKVServer(srv.etcd), v3rpc.NewQuotaLeaseServer(srv.etcd)
	switch m := msg.(type) {
	case *pb.TxnRequest:
		return kv.Txn(ctx, m)
	case *pb.PutRequest:
		return kv.Put(ctx, m)
	case *pb.DeleteRangeRequest:
		return kv.DeleteRange(ctx, m)
	case *pb.RangeRequest:
		return kv.Range(ctx, m)
	case *pb.LeaseGrantRequest:
		return leases.LeaseGrant(ctx, m)
	case *pb.LeaseRevokeRequest:
		return leases.LeaseRevoke(ctx, m)
	case *pb.LeaseKeepAliveRequest:
		_, _ = srv.etcd.LeaseRenew(ctx, lease.LeaseID(m.GetID())) // nobody is told
		return nil, nil
	}
	panic(fmt.Sprintf("sim: no way to send a %T twice", msg))
}
