module example.com/program

go 1.24.0

require (
	github.com/prometheus/client_golang v1.19.0
	go.etcd.io/etcd/api/v3 v3.5.21
	go.etcd.io/etcd/client/v3 v3.5.21
	google.golang.org/grpc v1.64.0
)
