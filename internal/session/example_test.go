package session_test

import (
	"fmt"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
)

// A client is sent a message, loses its connection before it acknowledges, and is sent it again with one that waited.
func Example() {
	limits := session.DefaultLimits()
	s := session.New(&limits, "sensor-7")
	show := func(d session.Delivery, m *message.Message) {
		switch d.Verdict {
		case session.Send:
			fmt.Printf("PUBLISH %s QoS %d id %d dup %v\n", m.Payload, d.QoS, d.PacketID, d.Dup)
		case session.Queued:
			fmt.Printf("%s waits\n", m.Payload)
		}
	}
	connect := func(now int64) {
		accept, err := s.Connect(now, &mqtt.Connect{Version: mqtt.V311, ClientID: []byte("sensor-7")}, true)
		if err != nil {
			panic(err)
		}
		fmt.Println("CONNACK, session present", accept.Connack().SessionPresent)
		for {
			d, m, ok := s.Next(now)
			if !ok {
				return
			}
			show(d, m)
		}
	}
	deliver := func(now int64, payload string) {
		m := &message.Message{Topic: []byte("t"), Payload: []byte(payload), QoS: 1}
		show(s.Deliver(now, m, &session.SubOptions{QoS: 1}, true), m)
		m.Return()
	}

	connect(1000)
	deliver(1001, "first")
	s.Close(2000, session.Lost)
	deliver(2001, "second")
	connect(3000)
	settled, _ := s.Puback(1, mqtt.Success)
	fmt.Println("settled", settled.Done, "left", s.Load())

	// Output:
	// CONNACK, session present false
	// PUBLISH first QoS 1 id 1 dup false
	// second waits
	// CONNACK, session present true
	// PUBLISH first QoS 1 id 1 dup true
	// PUBLISH second QoS 1 id 2 dup false
	// settled true left 1
}
