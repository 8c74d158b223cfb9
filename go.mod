module github.com/millrace-mq/millrace

go 1.26.0

require (
	github.com/gobwas/ws v1.5.0
	go.etcd.io/raft/v3 v3.7.0
	go.yaml.in/yaml/v3 v3.0.6
	golang.org/x/sys v0.50.0
	pgregory.net/rapid v1.3.0
)

require (
	github.com/gobwas/httphead v0.1.0 // indirect
	google.golang.org/protobuf v1.36.11 // indirect
)
