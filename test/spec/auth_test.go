package spec

import (
	"github.com/millrace-mq/millrace/test/wire"
)

// Sections 3.15 and 4.12 of 5.0: enhanced authentication.
var authStatements = []statement{
	{v5: "3.15.1-1", says: "The flags of AUTH are 0; others close the connection.", test: authFlags},
	{v5: "3.15.2-1", says: "The reason code of AUTH is one of its list.", why: noMethods},
	{v5: "3.15.2-2", says: "No reason string makes AUTH larger than the receiver's maximum packet size.", why: noMethods},
	{v5: "3.15.2-3", says: "No user property makes AUTH larger than the receiver's maximum packet size.", why: noMethods},
	{v5: "4.12.0-1", says: "An authentication method that is not supported closes the connection.", test: furtherChecks},
	{v5: "4.12.0-2", says: "The server's AUTH has reason code 0x18.", why: noMethods},
	{v5: "4.12.0-3", says: "The client's AUTH has reason code 0x18.", why: client},
	{v5: "4.12.0-4", says: "A rejected authentication closes the connection.", test: furtherChecks},
	{v5: "4.12.0-5", says: "Every AUTH and the CONNACK name the method of CONNECT.", why: noMethods},
	{v5: "4.12.0-6", says: "Without a method in CONNECT the server sends no AUTH, and no method in CONNACK.", test: noMethod},
	{v5: "4.12.0-7", says: "Without a method in CONNECT the client sends no AUTH.", test: authUninvited},
	{v5: "4.12.1-1", says: "A client authenticates again with the method of CONNECT.", why: client},
	{v5: "4.12.1-2", says: "A failed re-authentication closes the connection.", test: authUninvited},
}

// noMethods is why the exchange itself has no test here.
const noMethods = "the server offers no authentication method yet; internal/session tests the exchange"

func authFlags(e *env) {
	for flags := byte(1); flags < 16; flags++ {
		c := e.join("c")
		packet := wire.Auth(0x19, wire.Text(wire.AuthMethod, "x"))
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
		wire.Auth(0x19, wire.Text(wire.AuthMethod, "x")), wire.Auth(0x18, wire.Text(wire.AuthMethod, "x"), wire.Text(wire.AuthData, "y")),
		wire.Auth(0x00), {wire.AUTH << 4, 0},
	} {
		c := e.join("c")
		c.Write(packet)
		c.Refused(0x82, 0x81, 0x8C)
	}
}
