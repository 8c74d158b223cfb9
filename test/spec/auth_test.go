package spec

import (
	"github.com/millrace-mq/millrace/test/target"
	"github.com/millrace-mq/millrace/test/wire"
)

// Sections 3.15 and 4.12 of 5.0: enhanced authentication. The nodes under test
// offer the method target.Echo.
var authStatements = []statement{
	{v5: "3.15.1-1", says: "The flags of AUTH are 0; others close the connection.", test: authFlags},
	{v5: "3.15.2-1", says: "The reason code of AUTH is one of its list.", test: authExchange},
	{v5: "3.15.2-2", says: "No reason string makes AUTH larger than the receiver's maximum packet size.", test: smallAuth},
	{v5: "3.15.2-3", says: "No user property makes AUTH larger than the receiver's maximum packet size.", test: smallAuth},
	{v5: "4.12.0-1", says: "An authentication method that is not supported closes the connection.", test: furtherChecks},
	{v5: "4.12.0-2", says: "The server asks for more with an AUTH of reason code 0x18.", test: authExchange},
	{v5: "4.12.0-3", says: "The client answers with an AUTH of reason code 0x18.", test: authWrongCode},
	{v5: "4.12.0-4", says: "A rejected authentication closes the connection.", test: authRejected},
	{v5: "4.12.0-5", says: "Every AUTH and the CONNACK name the method of CONNECT.", test: authExchange},
	{v5: "4.12.0-6", says: "Without a method in CONNECT the server sends no AUTH, and no method in CONNACK.", test: noMethod},
	{v5: "4.12.0-7", says: "Without a method in CONNECT the client sends no AUTH.", test: authUninvited},
	{v5: "4.12.1-1", says: "A client authenticates again with the method of CONNECT.", test: authAgain},
	{v5: "4.12.1-2", says: "A failed re-authentication closes the connection.", test: authAgainFails},
}

func method(name string) wire.Prop { return wire.Text(wire.AuthMethod, name) }
func data(s string) wire.Prop      { return wire.Text(wire.AuthData, s) }

// begin sends a CONNECT that names the method.
func (e *env) begin(name, with string, props ...wire.Prop) *wire.Conn {
	e.Helper()
	c := e.dial(name)
	c.Write(wire.Connect{Version: e.version, ClientID: e.id(name), Clean: true, Props: append(props, method(target.Echo), data(with))}.Bytes())
	return c
}

// asked expects that the server asks for more.
func asked(e *env, c *wire.Conn) {
	e.Helper()
	p := c.Await(wire.AUTH)
	if p.Code != 0x18 || p.Props.Text(wire.AuthMethod) != target.Echo || p.Props.Text(wire.AuthData) != target.Question {
		e.Fatalf("the server asks with %v", p)
	}
}

// welcome expects that the connection is accepted by the method.
func welcome(e *env, c *wire.Conn) {
	e.Helper()
	if p := c.Expect(wire.CONNACK); p.Code != 0 || p.Props.Text(wire.AuthMethod) != target.Echo {
		e.Fatalf("CONNACK is %v", p)
	}
}

func authExchange(e *env) {
	c := e.begin("one", target.Right) // in one step
	welcome(e, c)
	c.Quiet()
	c = e.begin("two", target.Ask) // in two
	asked(e, c)
	c.Write(wire.Auth(0x18, method(target.Echo), data(target.Right)))
	welcome(e, c)
	c.Subscribe(e.topic("a"), 1)
	c.Publish(wire.Publish{Topic: e.topic("a"), Payload: "x", QoS: 1})
	c.Deliver(e.topic("a"), "x")
}

func authRejected(e *env) {
	c := e.begin("at once", "wrong")
	c.Rejected(0x87, 0x8C, 0x80)
	c = e.begin("later", target.Ask)
	asked(e, c)
	c.Write(wire.Auth(0x18, method(target.Echo), data("wrong")), wire.Pingreq())
	c.Rejected(0x87, 0x8C, 0x80)
	c = e.begin("other method", target.Ask)
	asked(e, c)
	c.Write(wire.Auth(0x18, method("OTHER"), data(target.Right)))
	e.refusedConnect(c, 0x82, 0x8C, 0x87)
}

// Whatever is not the answer ends the exchange.
func authWrongCode(e *env) {
	for _, packet := range [][]byte{
		wire.Auth(0x19, method(target.Echo), data(target.Right)), wire.Auth(0x00, method(target.Echo), data(target.Right)),
		wire.Auth(0x18), wire.Pingreq(), wire.Publish{Topic: e.topic("a"), Payload: "x"}.Bytes(e.version),
		wire.Subscribe(e.version, 1, []wire.Sub{{Filter: "a"}}),
	} {
		c := e.begin("c", target.Ask)
		asked(e, c)
		c.Write(packet)
		e.refusedConnect(c, 0x82, 0x81, 0x8C, 0x87)
	}
	c := e.begin("leaves", target.Ask) // but a client may give up
	asked(e, c)
	c.Leave()
}

func authAgain(e *env) {
	topic := e.topic("a")
	c := e.begin("c", target.Right)
	welcome(e, c)
	c.Subscribe(topic, 1)
	for range 3 {
		c.Write(wire.Auth(0x19, method(target.Echo), data(target.Ask)))
		asked(e, c)
		c.Publish(wire.Publish{Topic: topic, Payload: "x", QoS: 1}) // all else goes on meanwhile
		c.Deliver(topic, "x")
		c.Write(wire.Auth(0x18, method(target.Echo), data(target.Right)))
		if p := c.Expect(wire.AUTH); p.Code != 0 || p.Props.Text(wire.AuthMethod) != target.Echo {
			e.Fatalf("re-authentication ends with %v", p)
		}
		c.Quiet()
	}
	c.Write(wire.Auth(0x19, method("OTHER"), data(target.Right)))
	c.Refused(0x82, 0x8C, 0x87)
}

func authAgainFails(e *env) {
	for _, packets := range [][]byte{
		wire.Auth(0x19, method(target.Echo), data("wrong")),
		append(wire.Auth(0x19, method(target.Echo), data(target.Ask)), wire.Auth(0x18, method(target.Echo), data("wrong"))...),
		wire.Auth(0x19), wire.Auth(0x18, method(target.Echo), data(target.Right)),
	} {
		c := e.begin("c", target.Right)
		welcome(e, c)
		c.Write(packets)
		before := c.Closed()
		if n := len(before); n == 0 || before[n-1].Type != wire.DISCONNECT || before[n-1].Code < 0x80 {
			e.Errorf("a failed re-authentication ends with %v", before)
		}
	}
}

func smallAuth(e *env) {
	c := e.begin("c", target.Ask, wire.Num(wire.MaximumPacketSize, 64))
	c.Limit = 64
	asked(e, c)
	c.Write(wire.Auth(0x18, method(target.Echo), data(target.Right)))
	welcome(e, c)
	c.Write(wire.Auth(0x19, method(target.Echo), data(target.Right), wire.User("key", "a value that would be long if it came back"), wire.Text(wire.ReasonString, "a reason of the client's own")))
	if p := c.Expect(wire.AUTH); p.Code != 0 {
		e.Errorf("re-authentication ends with %v", p)
	}
	c.Quiet()
}

func authFlags(e *env) {
	for flags := byte(1); flags < 16; flags++ {
		c := e.join("c")
		packet := wire.Auth(0x19, method("x"))
		packet[0] |= flags
		c.Write(packet)
		c.Refused(0x81)
	}
}

func noMethod(e *env) {
	user, password := "user", "password"
	for _, connect := range []wire.Connect{{ClientID: e.id("c"), Clean: true}, {ClientID: e.id("c"), Clean: true, Username: &user, Password: &password}} {
		c := e.dial("c")
		if p := c.Join(connect); p.Props.Has(wire.AuthMethod) || p.Props.Has(wire.AuthData) {
			e.Errorf("CONNACK is %v", p)
		}
		c.Quiet()
	}
}

func authUninvited(e *env) {
	for _, packet := range [][]byte{
		wire.Auth(0x19, method(target.Echo)), wire.Auth(0x18, method(target.Echo), data(target.Right)), wire.Auth(0x00), {wire.AUTH << 4, 0},
	} {
		c := e.join("c")
		c.Write(packet)
		c.Refused(0x82, 0x81, 0x8C)
	}
}
