// Command nats is NATS server with its MQTT listener, as test/peers runs it: JetStream (which its MQTT needs) on the folder that it is
// given, no limit that the load could meet, no log. It has a module of its own, so that its dependencies are not Millrace's.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	port := flag.Int("port", 1883, "port of MQTT on 127.0.0.1")
	dir := flag.String("data", "", "folder of JetStream")
	flag.Parse()
	s, err := server.NewServer(&server.Options{
		ServerName: "peer", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: false,
		MaxConn: 1 << 20, MaxPending: 256 << 20, WriteDeadline: time.Minute,
		JetStream: true, StoreDir: *dir, JetStreamMaxMemory: 4 << 30, JetStreamMaxStore: 8 << 30,
		// The limits of all subscriptions of a session together may not exceed 65,535, and QoS 2 counts twice.
		MQTT: server.MQTTOpts{Host: "127.0.0.1", Port: *port, MaxAckPending: 16384, AckWait: time.Minute},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s.Start()
	s.WaitForShutdown()
}
