package mqtt

import (
	"strings"
	"testing"
)

func TestParseHeader(t *testing.T) {
	for _, test := range []struct {
		bytes string
		want  Header
	}{
		{"\x10\x00", Header{CONNECT, 0, 0, 2}},
		{"\x3b\x7f", Header{PUBLISH, 0b1011, 127, 2}},
		{"\x30\x80\x01", Header{PUBLISH, 0, 128, 3}},
		{"\x30\xff\x7f", Header{PUBLISH, 0, 16_383, 3}},
		{"\x30\x80\x80\x01", Header{PUBLISH, 0, 16_384, 4}},
		{"\x30\xff\xff\x7f", Header{PUBLISH, 0, 2_097_151, 4}},
		{"\x30\x80\x80\x80\x01", Header{PUBLISH, 0, 2_097_152, 5}},
		{"\x30\xff\xff\xff\x7f", Header{PUBLISH, 0, MaxRemaining, 5}},
		{"\x62\x02", Header{PUBREL, 2, 2, 2}},
		{"\xf0\x00", Header{AUTH, 0, 0, 2}},
		{"\x30\x81\x80\x80\x00", Header{PUBLISH, 0, 1, 5}}, // not in the fewest bytes: Check tells
	} {
		for cut := range test.bytes {
			if h, ok, err := ParseHeader([]byte(test.bytes[:cut])); ok || err != nil {
				t.Errorf("%x: %+v, %v, %v; want more bytes", test.bytes[:cut], h, ok, err)
			}
		}
		for _, behind := range []string{"", "\xff\xff"} {
			h, ok, err := ParseHeader([]byte(test.bytes + behind))
			if err != nil || !ok || h != test.want {
				t.Errorf("%x: %+v, %v, %v; want %+v", test.bytes, h, ok, err, test.want)
			}
		}
		if want := uint32(test.want.Size) + test.want.Remaining; test.want.Len() != want {
			t.Errorf("Len is %d, want %d", test.want.Len(), want)
		}
	}
}

// Every first byte: the flags that table 2-2 reserves are checked as soon as the byte is there.
func TestReservedFlags(t *testing.T) {
	for first := range 256 {
		kind, flags := Type(first>>4), byte(first&0x0F)
		want := false
		switch kind {
		case 0:
		case PUBLISH:
			want = true // QoS 3 is Publish.Decode's to refuse
		case PUBREL, SUBSCRIBE, UNSUBSCRIBE:
			want = flags == 2
		default:
			want = flags == 0
		}
		_, _, err := ParseHeader([]byte{byte(first)})
		if (err == nil) != want {
			t.Errorf("first byte %#02x: %v", first, err)
		}
		if err != nil && codeOf(t, err) != MalformedPacket {
			t.Errorf("first byte %#02x: %v", first, err)
		}
		if kind == 0 {
			continue
		}
		if _, _, err := ParseHeader([]byte{byte(first), 0}); (err == nil) != want {
			t.Errorf("first byte %#02x with a length: %v", first, err)
		}
	}
}

// FAULTS: a variable byte integer of five bytes. It is refused when the fourth byte says that a fifth follows.
func TestRemainingLengthOfFiveBytes(t *testing.T) {
	for _, bytes := range []string{"\x10\xff\xff\xff\xff", "\x10\x80\x80\x80\x80\x01", "\x30\x80\x80\x80\x80\x00"} {
		if _, ok, err := ParseHeader([]byte(bytes)); ok || err == nil || codeOf(t, err) != MalformedPacket {
			t.Errorf("%x: %v, %v", bytes, ok, err)
		}
	}
}

func TestHeaderCheck(t *testing.T) {
	for _, test := range []struct {
		bytes  string
		v      Version
		reason string
	}{
		{"\x30\x7f", V5, ""},
		{"\x30\x80\x01", V5, ""},
		{"\x30\xff\xff\xff\x7f", V5, ""},
		{"\x30\xff\x00", V5, "fewest"},
		{"\x30\x80\x00", V5, "fewest"},
		{"\x30\x81\x80\x80\x00", V5, "fewest"},
		{"\x30\x81\x80\x80\x00", V311, ""},
		{"\xf0\x00", V5, ""},
		{"\xf0\x00", V311, "3.1.1"},
	} {
		h, ok, err := ParseHeader([]byte(test.bytes))
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		err = h.Check(test.v)
		if (err == nil) != (test.reason == "") || err != nil && !strings.Contains(err.Error(), test.reason) {
			t.Errorf("%x in %v: %v, want %q", test.bytes, test.v, err, test.reason)
		}
	}
}

func TestVarint(t *testing.T) {
	for _, n := range []uint32{0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, MaxRemaining} {
		encoded := appendVarint(nil, n)
		if len(encoded) != varintSize(int(n)) {
			t.Errorf("%d: %d bytes, varintSize says %d", n, len(encoded), varintSize(int(n)))
		}
		got, rest, err := takeVarint(append(encoded, "rest"...))
		if err != nil || got != n || string(rest) != "rest" {
			t.Errorf("%d: %d, %q, %v", n, got, rest, err)
		}
		for cut := range encoded {
			if _, _, err := takeVarint(encoded[:cut]); err == nil {
				t.Errorf("%d: accepted %d of %d bytes", n, cut, len(encoded))
			}
		}
	}
}

func TestNames(t *testing.T) {
	for got, want := range map[string]string{
		V311.String():                              "3.1.1",
		V5.String():                                "5.0",
		Version(3).String():                        "level 3",
		CONNECT.String():                           "CONNECT",
		AUTH.String():                              "AUTH",
		Type(16).String():                          "TYPE 16",
		Success.String():                           "Success",
		SessionTakenOver.String():                  "Session taken over",
		ReasonCode(0x7F).String():                  "Reason 0x7F",
		PropTopicAlias.String():                    "Topic Alias",
		Property(200).String():                     "Property 200",
		errTopicOrAlias.Error():                    "mqtt: Protocol Error: neither a topic nor a topic alias",
		WildcardSubscriptionsNotSupported.String(): "Wildcard Subscriptions not supported",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
