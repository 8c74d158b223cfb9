package mqtt

import "testing"

func TestConnectFields(t *testing.T) {
	body := []byte("\x00\x04MQTT\x05\xf4\x00\x0a\x03\x21\x00\x14" + "\x00\x02id" +
		"\x05\x18\x00\x00\x00\x1e" + "\x00\x03w/l" + "\x00\x02\x00\xff" + "\x00\x04user" + "\x00\x02\xff\x00")
	var c Connect
	if err := c.Decode(body); err != nil {
		t.Fatal(err)
	}
	if c.Version != V5 || c.CleanStart || c.KeepAlive != 10 || string(c.ClientID) != "id" ||
		c.Properties.Has != setOf(PropReceiveMaximum) || c.Properties.ReceiveMaximum != 20 ||
		!c.HasUsername || string(c.Username) != "user" || !c.HasPassword || string(c.Password) != "\xff\x00" {
		t.Errorf("%+v", c)
	}
	if !c.HasWill || c.Will.QoS != 2 || !c.Will.Retain || string(c.Will.Topic) != "w/l" || string(c.Will.Payload) != "\x00\xff" ||
		c.Will.Properties.Has != setOf(PropWillDelay) || c.Will.Properties.WillDelay != 30 {
		t.Errorf("%+v", c.Will)
	}
}

// The version after a refusal is that of the CONNACK which the client may understand.
func TestConnectVersion(t *testing.T) {
	for _, test := range []struct {
		name, body string
		want       Version
		code       ReasonCode
	}{
		{"3.1.1", "\x00\x04MQTT\x04\x02\x00\x00\x00\x01a", V311, Success},
		{"5.0", "\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01a", V5, Success},
		{"3.1", "\x00\x06MQIsdp\x03\x02\x00\x00\x00\x01a", V311, UnsupportedProtocolVersion},
		{"level 3", "\x00\x04MQTT\x03\x02\x00\x00\x00\x01a", V311, UnsupportedProtocolVersion},
		{"level 6", "\x00\x04MQTT\x06\x02\x00\x00\x00\x00\x01a", V5, UnsupportedProtocolVersion},
		{"another name", "\x00\x04AMQP\x05", V5, UnsupportedProtocolVersion},
		{"3.1.1, then damaged", "\x00\x04MQTT\x04\x03", V311, MalformedPacket},
		{"5.0, then damaged", "\x00\x04MQTT\x05\x02\x00", V5, MalformedPacket},
	} {
		c := Connect{Version: 77}
		err := c.Decode([]byte(test.body))
		if c.Version != test.want {
			t.Errorf("%s: version %v, want %v", test.name, c.Version, test.want)
		}
		if test.code == Success && err != nil || test.code != Success && (err == nil || codeOf(t, err) != test.code) {
			t.Errorf("%s: %v, want %v", test.name, err, test.code)
		}
	}
}

// What a client may well send, though it looks odd.
func TestConnectAccepts(t *testing.T) {
	for name, body := range map[string]string{
		"no client id, 5.0":                     "\x00\x04MQTT\x05\x00\x00\x00\x00\x00\x00",
		"no client id but clean, 3.1.1":         "\x00\x04MQTT\x04\x02\x00\x00\x00\x00",
		"password without username, 5.0":        "\x00\x04MQTT\x05\x42\x00\x00\x00\x00\x01a\x00\x01p",
		"empty username and password":           "\x00\x04MQTT\x04\xc2\x00\x00\x00\x01a\x00\x00\x00\x00",
		"will with empty payload":               "\x00\x04MQTT\x04\x06\x00\x00\x00\x01a\x00\x01w\x00\x00",
		"control characters in the client id":   "\x00\x04MQTT\x04\x02\x00\x00\x00\x02\x01\x7f",
		"authentication method without data":    "\x00\x04MQTT\x05\x02\x00\x00\x04\x15\x00\x01m\x00\x01a",
		"authentication data before the method": "\x00\x04MQTT\x05\x02\x00\x00\x08\x16\x00\x01d\x15\x00\x01m\x00\x01a",
	} {
		if err := new(Connect).Decode([]byte(body)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestConnackV311(t *testing.T) {
	want := map[ReasonCode]byte{
		Success: 0, UnsupportedProtocolVersion: 1, ClientIdentifierNotValid: 2, ServerUnavailable: 3, ServerBusy: 3,
		BadUserNameOrPassword: 4, NotAuthorized: 5, Banned: 5, BadAuthenticationMethod: 4, QuotaExceeded: 3, UseAnotherServer: 3,
	}
	for code, number := range want {
		connack := Connack{Code: code, SessionPresent: true}
		present := byte(0)
		if code == Success {
			present = 1
		}
		got := connack.Append(nil, V311)
		if string(got) != string([]byte{0x20, 2, present, number}) {
			t.Errorf("%v: %x", code, got)
		}
		var back Connack
		if err := back.Decode(V311, 0, got[2:]); err != nil || back.Code.ConnackV311() != number {
			t.Errorf("%v comes back as %v, %v", code, back.Code, err)
		}
	}
}

func TestSubackV311SaysOnlyThatItFailed(t *testing.T) {
	suback := Suback{PacketID: 1, Codes: []ReasonCode{GrantedQoS2, NotAuthorized, QuotaExceeded}}
	if got := string(suback.Append(nil, V311)); got != "\x90\x05\x00\x01\x02\x80\x80" {
		t.Errorf("%x", got)
	}
}

func TestSubscribeV311HasNoOptionsButQoS(t *testing.T) {
	subscribe := Subscribe{PacketID: 1, Subscriptions: []Subscription{
		{Filter: []byte("a"), QoS: 1, NoLocal: true, RetainAsPublished: true, RetainHandling: 2},
	}}
	if got := string(subscribe.Append(nil, V311)); got != "\x82\x06\x00\x01\x00\x01a\x01" {
		t.Errorf("%x", got)
	}
}

func TestSubscribeFields(t *testing.T) {
	var s Subscribe
	if err := s.Decode(V5, 2, []byte("\x01\x02\x02\x0b\x07\x00\x03a/+\x1d\x00\x01#\x22")); err != nil {
		t.Fatal(err)
	}
	if s.PacketID != 0x0102 || len(s.Subscriptions) != 2 || s.Properties.SubscriptionIDs[0] != 7 {
		t.Fatalf("%+v", s)
	}
	first, second := s.Subscriptions[0], s.Subscriptions[1]
	if string(first.Filter) != "a/+" || first.QoS != 1 || !first.NoLocal || !first.RetainAsPublished || first.RetainHandling != 1 {
		t.Errorf("%+v", first)
	}
	if string(second.Filter) != "#" || second.QoS != 2 || second.NoLocal || second.RetainAsPublished || second.RetainHandling != 2 {
		t.Errorf("%+v", second)
	}
}

// allowedCodes are the tables of 3.2.2.2, 3.4.2.1 and so on, written out again.
func TestReasonCodesOfEachPacket(t *testing.T) {
	for _, test := range []struct {
		v      Version
		first  byte
		before string
		after  string
		codes  string
	}{
		{V5, 0x20, "\x00", "\x00", "\x00\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8c\x90\x95\x97\x99\x9a\x9b\x9c\x9d\x9f"},
		{V311, 0x20, "\x00", "", "\x00\x01\x02\x03\x04\x05"},
		{V5, 0x40, "\x00\x01", "", "\x00\x10\x80\x83\x87\x90\x91\x97\x99"},
		{V5, 0x50, "\x00\x01", "", "\x00\x10\x80\x83\x87\x90\x91\x97\x99"},
		{V5, 0x62, "\x00\x01", "", "\x00\x92"},
		{V5, 0x70, "\x00\x01", "", "\x00\x92"},
		{V5, 0x90, "\x00\x01\x00", "", "\x00\x01\x02\x80\x83\x87\x8f\x91\x97\x9e\xa1\xa2"},
		{V311, 0x90, "\x00\x01", "", "\x00\x01\x02\x80"},
		{V5, 0xb0, "\x00\x01\x00", "", "\x00\x11\x80\x83\x87\x8f\x91"},
		{V5, 0xe0, "", "", "\x00\x04\x80\x81\x82\x83\x87\x89\x8b\x8d\x8e\x8f\x90\x93\x94\x95\x96\x97\x98\x99\x9a\x9b\x9c\x9d\x9e\x9f\xa0\xa1\xa2"},
		{V5, 0xf0, "", "\x04\x15\x00\x01m", "\x00\x18\x19"},
	} {
		kind := Type(test.first >> 4)
		allowed := make(map[byte]bool)
		for _, code := range []byte(test.codes) {
			allowed[code] = true
		}
		for code := range 256 {
			body := append([]byte(test.before), byte(code))
			body = append(body, test.after...)
			err := newPacket(kind).Decode(test.v, test.first&0x0F, body)
			switch {
			case err == nil && !allowed[byte(code)]:
				t.Errorf("%v %v: code %#02x accepted", test.v, kind, code)
			case err != nil && allowed[byte(code)]:
				t.Errorf("%v %v: code %#02x refused: %v", test.v, kind, code, err)
			case err != nil && codeOf(t, err) != ProtocolError:
				t.Errorf("%v %v: code %#02x refused with %v", test.v, kind, code, err)
			}
		}
	}
}
