package millrace_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/millrace-mq/millrace"
	"github.com/millrace-mq/millrace/internal/client"
	"github.com/millrace-mq/millrace/mqtt"
)

// A node within a program, on addresses of its own choice.
func Example() {
	folder, err := os.MkdirTemp("", "millrace")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)

	cfg := millrace.Defaults()
	cfg.Node.DataDir = folder
	cfg.Admin.Address = "" // no HTTP
	cfg.Listeners = map[string]millrace.Listener{
		"tcp": {Type: millrace.MQTT, Address: "127.0.0.1:0"},
		"web": {Type: millrace.WS, Address: "127.0.0.1:0"},
	}
	ctx := context.Background()
	node, err := millrace.Start(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer node.Stop(ctx)

	// Any client will do: here one subscribes over WebSocket and publishes to itself.
	c, err := client.Dial(ctx, client.Options{URL: "ws://" + node.Addr("web").String()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Disconnect(nil)
	if err := c.SubscribeTo(ctx, 1, "greetings/+"); err != nil {
		fmt.Println(err)
	}
	if err := c.Publish(ctx, &mqtt.Publish{QoS: 1, Topic: []byte("greetings/world"), Payload: []byte("hello")}); err != nil {
		fmt.Println(err)
	}
	m, err := c.Receive(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s: %s\n", m.Topic, m.Payload)
	// Output: greetings/world: hello
}
