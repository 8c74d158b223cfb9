package mqtt

import (
	"bytes"
	"strings"
	"testing"
)

// properties is table 2-4 of the specification, written out again: the identifier, the packets that may carry it (W is the
// will inside CONNECT), an encoded value, and encoded values that must be refused with ProtocolError.
var properties = []struct {
	id      Property
	packets string
	value   string
	wrong   []string
}{
	{0x01, "PUBLISH W", "\x01", []string{"\x02", "\xff"}},
	{0x02, "PUBLISH W", "\x00\x00\x00\x00", nil},
	{0x03, "PUBLISH W", "\x00\x01c", nil},
	{0x08, "PUBLISH W", "\x00\x03r/t", []string{"\x00\x00", "\x00\x01#", "\x00\x03a/+"}},
	{0x09, "PUBLISH W", "\x00\x02\x00\xff", nil},
	{0x0B, "PUBLISH SUBSCRIBE", "\xff\xff\xff\x7f", []string{"\x00"}},
	{0x11, "CONNECT CONNACK DISCONNECT", "\xff\xff\xff\xff", nil},
	{0x12, "CONNACK", "\x00\x02id", nil},
	{0x13, "CONNACK", "\x00\x00", nil},
	{0x15, "CONNECT CONNACK AUTH", "\x00\x05SCRAM", nil},
	{0x16, "CONNECT CONNACK AUTH", "\x00\x02\x00\xff", nil},
	{0x17, "CONNECT", "\x00", []string{"\x02"}},
	{0x18, "W", "\x00\x00\x00\x05", nil},
	{0x19, "CONNECT", "\x01", []string{"\x02"}},
	{0x1A, "CONNACK", "\x00\x01i", nil},
	{0x1C, "CONNACK DISCONNECT", "\x00\x04host", nil},
	{0x1F, "CONNACK PUBACK PUBREC PUBREL PUBCOMP SUBACK UNSUBACK DISCONNECT AUTH", "\x00\x03why", nil},
	{0x21, "CONNECT CONNACK", "\xff\xff", []string{"\x00\x00"}},
	{0x22, "CONNECT CONNACK", "\x00\x00", nil},
	{0x23, "PUBLISH", "\x00\x01", nil}, // zero is TopicAliasInvalid: see refusals
	{0x24, "CONNACK", "\x00", []string{"\x02"}},
	{0x25, "CONNACK", "\x00", []string{"\x02"}},
	{0x26, "CONNECT CONNACK PUBLISH W PUBACK PUBREC PUBREL PUBCOMP SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK DISCONNECT AUTH", "\x00\x01k\x00\x02vv", nil},
	{0x27, "CONNECT CONNACK", "\x00\x00\x00\x01", []string{"\x00\x00\x00\x00"}},
	{0x28, "CONNACK", "\x00", []string{"\x02"}},
	{0x29, "CONNACK", "\x01", []string{"\x02"}},
	{0x2A, "CONNACK", "\x00", []string{"\x02"}},
}

// carriers build a whole packet around encoded properties.
var carriers = []struct {
	name   string
	first  byte
	before string // of the property length
	after  string
	props  func(packet) *Properties
}{
	{"CONNECT", 0x10, "\x00\x04MQTT\x05\x02\x00\x00", "\x00\x01a", func(p packet) *Properties { return &p.(*connectPacket).Properties }},
	{"W", 0x10, "\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01a", "\x00\x01w\x00\x01p", func(p packet) *Properties { return &p.(*connectPacket).Will.Properties }},
	{"CONNACK", 0x20, "\x00\x00", "", func(p packet) *Properties { return &p.(*Connack).Properties }},
	{"PUBLISH", 0x32, "\x00\x01t\x00\x01", "payload", func(p packet) *Properties { return &p.(*Publish).Properties }},
	{"PUBACK", 0x40, "\x00\x01\x00", "", func(p packet) *Properties { return &p.(*Ack).Properties }},
	{"PUBREC", 0x50, "\x00\x01\x00", "", func(p packet) *Properties { return &p.(*Ack).Properties }},
	{"PUBREL", 0x62, "\x00\x01\x00", "", func(p packet) *Properties { return &p.(*Ack).Properties }},
	{"PUBCOMP", 0x70, "\x00\x01\x00", "", func(p packet) *Properties { return &p.(*Ack).Properties }},
	{"SUBSCRIBE", 0x82, "\x00\x01", "\x00\x01a\x00", func(p packet) *Properties { return &p.(*Subscribe).Properties }},
	{"SUBACK", 0x90, "\x00\x01", "\x00", func(p packet) *Properties { return &p.(*Suback).Properties }},
	{"UNSUBSCRIBE", 0xa2, "\x00\x01", "\x00\x01a", func(p packet) *Properties { return &p.(*Unsubscribe).Properties }},
	{"UNSUBACK", 0xb0, "\x00\x01", "\x00", func(p packet) *Properties { return &p.(*Unsuback).Properties }},
	{"DISCONNECT", 0xe0, "\x00", "", func(p packet) *Properties { return &p.(*Disconnect).Properties }},
	{"AUTH", 0xf0, "\x18", "", func(p packet) *Properties { return &p.(*Auth).Properties }},
}

// carry puts properties into a packet and adds what they need to be lawful: authentication data wants a method, and AUTH
// always has one.
func carry(before, after, packetName string, props string, id Property) []byte {
	if id == PropAuthData || packetName == "AUTH" && id != PropAuthMethod {
		props += "\x15\x00\x01m"
	}
	body := append([]byte(before), byte(len(props)))
	return append(append(body, props...), after...)
}

// Every property in every packet: accepted exactly where table 2-4 has it, otherwise malformed (2.2.2.2); a second one is a
// protocol error unless it is a user property, or a subscription identifier in PUBLISH.
func TestEveryPropertyInEveryPacket(t *testing.T) {
	for _, property := range properties {
		for _, carrier := range carriers {
			t.Run(property.id.String()+" in "+carrier.name, func(t *testing.T) {
				encoded := string([]byte{byte(property.id)}) + property.value
				decode := func(props string) (packet, []byte, error) {
					body := carry(carrier.before, carrier.after, carrier.name, props, property.id)
					p := newPacket(Type(carrier.first >> 4))
					return p, body, p.Decode(V5, carrier.first&0x0F, body)
				}

				p, body, err := decode(encoded)
				if !strings.Contains(" "+property.packets+" ", " "+carrier.name+" ") {
					if err == nil {
						t.Fatal("accepted")
					}
					if code := codeOf(t, err); code != MalformedPacket {
						t.Fatalf("refused with %v, want malformed", code)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if !carrier.props(p).Has.Contains(property.id) {
					t.Error("decoded, but not in Has")
				}
				whole := p.Append(nil, V5)
				if _, err := decodeWhole(V5, whole); err != nil {
					t.Error("what Append wrote is refused:", err)
				}
				if !bytes.Contains(whole, []byte(encoded)) || len(whole) != 2+len(body) {
					t.Errorf("%x was appended as %x", body, whole)
				}

				_, _, err = decode(encoded + encoded)
				repeatable := property.id == PropUser || property.id == PropSubscriptionID && carrier.name == "PUBLISH"
				if repeatable && err != nil {
					t.Error("twice:", err)
				}
				if !repeatable && (err == nil || codeOf(t, err) != ProtocolError) {
					t.Errorf("twice: %v, want a protocol error", err)
				}
				for _, wrong := range property.wrong {
					if _, _, err := decode(string([]byte{byte(property.id)}) + wrong); err == nil || codeOf(t, err) != ProtocolError {
						t.Errorf("value %x: %v, want a protocol error", wrong, err)
					}
				}
				for cut := range property.value {
					props := encoded[:1+cut]
					body := append([]byte(carrier.before), byte(len(props)))
					body = append(append(body, props...), carrier.after...)
					err := newPacket(Type(carrier.first>>4)).Decode(V5, carrier.first&0x0F, body)
					if err == nil || codeOf(t, err) != MalformedPacket {
						t.Errorf("value cut to %d bytes: %v, want malformed", cut, err)
					}
				}
			})
		}
	}
}

func TestPropertyTableIsComplete(t *testing.T) {
	known := make(map[Property]bool)
	for _, property := range properties {
		known[property.id] = true
		if strings.HasPrefix(property.id.String(), "Property ") {
			t.Errorf("0x%02x has no name", byte(property.id))
		}
	}
	if len(known) != 27 {
		t.Errorf("the specification has 27 properties, the test %d", len(known))
	}
	for id := range Property(255) {
		if named := !strings.HasPrefix(id.String(), "Property "); named != known[id] {
			t.Errorf("0x%02x: named %v, known %v", byte(id), named, known[id])
		}
	}
}

// The fields that one packet sets are not in the next, whatever they were.
func TestReuseForgetsTheLastPacket(t *testing.T) {
	for _, first := range canonical {
		for _, second := range canonical {
			h1, _, _ := ParseHeader([]byte(first.bytes))
			h2, _, _ := ParseHeader([]byte(second.bytes))
			if h1.Type != h2.Type {
				continue
			}
			p := newPacket(h1.Type)
			if err := p.Decode(first.version, h1.Flags, []byte(first.bytes)[h1.Size:]); err != nil {
				t.Fatal(first.name, err)
			}
			if err := p.Decode(second.version, h2.Flags, []byte(second.bytes)[h2.Size:]); err != nil {
				t.Fatal(second.name, err)
			}
			// Append for V5 would show what a packet of V311 has left over.
			fresh := newPacket(h2.Type)
			if err := fresh.Decode(second.version, h2.Flags, []byte(second.bytes)[h2.Size:]); err != nil {
				t.Fatal(err)
			}
			if got, want := p.Append(nil, V5), fresh.Append(nil, V5); !bytes.Equal(got, want) {
				t.Errorf("%s after %s: got %x, want %x", second.name, first.name, got, want)
			}
		}
	}
}

func TestUserPropertiesKeepTheirOrder(t *testing.T) {
	const a, b, c = "\x26\x00\x01a\x00\x011", "\x26\x00\x01b\x00\x012", "\x26\x00\x01a\x00\x013"
	const expiry, format, content = "\x02\x00\x00\x00\x01", "\x01\x00", "\x03\x00\x01x"
	for _, test := range []struct {
		name, props string
		aliases     bool
	}{
		{"side by side", a + b + c, true},
		{"side by side at the end", expiry + a + b + c, true},
		{"all apart", a + expiry + b + format + c, false},
		{"the last apart", a + b + expiry + c, false},
		{"the first apart", a + expiry + b + c, false},
		{"apart and more behind", a + expiry + b + c + content, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := []byte("\x00\x01t" + string([]byte{byte(len(test.props))}) + test.props + "payload")
			input := bytes.Clone(body)
			var p Publish
			for range 2 { // the second time the buffer of the first is there
				if err := p.Decode(V5, 0, body); err != nil {
					t.Fatal(err)
				}
				if got := string(p.Properties.User); got != a+b+c {
					t.Fatalf("got %q", got)
				}
			}
			if aliases := &p.Properties.User[0] == &body[4+strings.Index(test.props, a)]; aliases != test.aliases {
				t.Errorf("aliases the body: %v, want %v", aliases, test.aliases)
			}
			p.Properties.AddUser("k", "v")
			if !bytes.Equal(body, input) {
				t.Error("adding a user property has changed the body")
			}
			var pairs []string
			for key, value := range p.Properties.User.All() {
				pairs = append(pairs, string(key)+string(value))
			}
			if got := strings.Join(pairs, " "); got != "a1 b2 a3 kv" {
				t.Errorf("got %s", got)
			}
			if n := p.Properties.User.Len(); n != 4 {
				t.Errorf("Len is %d", n)
			}
			if value, ok := p.Properties.User.Get("a"); !ok || string(value) != "1" {
				t.Errorf("Get found %q, %v; want the first", value, ok)
			}
			if _, ok := p.Properties.User.Get("z"); ok {
				t.Error("Get found what is not there")
			}
		})
	}
}

// A decoded run ends where it ends: adding to it must not write over the property behind it.
func TestAddUserToADecodedRun(t *testing.T) {
	body := []byte("\x00\x01t\x0b\x26\x00\x01k\x00\x01v\x03\x00\x01cpayload")
	input := bytes.Clone(body)
	var p Publish
	if err := p.Decode(V5, 0, body); err != nil {
		t.Fatal(err)
	}
	p.Properties.AddUser("a", "")
	if !bytes.Equal(body, input) || string(p.Properties.ContentType) != "c" {
		t.Errorf("adding a user property has changed the body: %q", body)
	}
}

func TestAddUserAfterReset(t *testing.T) {
	var p Properties
	p.AddUser("old", "1")
	p.Reset()
	p.AddUser("new", "2")
	if _, ok := p.User.Get("old"); ok || p.User.Len() != 1 {
		t.Errorf("left over: %q", p.User)
	}
	p = Properties{User: UserProperties{}.Append("old", "1")} // stale, since Has is empty
	p.AddUser("new", "2")
	if p.User.Len() != 1 {
		t.Errorf("left over: %q", p.User)
	}
}

func TestUserPropertiesStopAtADamagedRun(t *testing.T) {
	whole := UserProperties{}.Append("key", "value")
	for cut := range whole {
		if n := whole[:cut].Len(); n != 0 {
			t.Errorf("found %d properties in %d of %d bytes", n, cut, len(whole))
		}
	}
	twice := whole.Append("second", "x")
	for range twice.All() {
		break // All must allow it
	}
}

func TestAppendForwardTakesWhatAServerPassesOn(t *testing.T) {
	const head = "\x00\x01t"
	const forwarded = "\x01\x01\x03\x00\x01c\x08\x00\x01r\x09\x00\x01d\x26\x00\x01k\x00\x01v\x26\x00\x01k\x00\x01w"
	const own = "\x02\x00\x00\x00\x09\x0b\x05\x23\x00\x01"
	var p Publish
	if err := p.Decode(V5, 0, []byte(head+string([]byte{byte(len(own + forwarded))})+own+forwarded)); err != nil {
		t.Fatal(err)
	}
	if got := string(p.Properties.AppendForward(nil)); got != forwarded {
		t.Errorf("got  %x\nwant %x", got, forwarded)
	}
}

func TestAppendLeavesOutWhatThePacketMayNotCarry(t *testing.T) {
	puback := NewPuback(1, Success)
	puback.Properties.Has = setOf(PropTopicAlias, PropMessageExpiry)
	if got := string(puback.Append(nil, V5)); got != "\x40\x02\x00\x01" {
		t.Errorf("got %x", got)
	}
	publish := Publish{Topic: []byte("t")}
	publish.Properties.Has = setOf(PropWillDelay, PropMessageExpiry)
	if got := string(publish.Append(nil, V5)); got != "\x30\x09\x00\x01t\x05\x02\x00\x00\x00\x00" {
		t.Errorf("got %x", got)
	}
}

func TestPropertySet(t *testing.T) {
	set := PropertySet(0).With(PropTopicAlias).With(PropUser)
	if !set.Contains(PropTopicAlias) || !set.Contains(PropUser) || set.Contains(PropMessageExpiry) {
		t.Errorf("%b", set)
	}
	if set = set.Without(PropUser); set != PropertySet(0).With(PropTopicAlias) {
		t.Errorf("%b", set)
	}
}
