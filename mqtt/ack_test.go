package mqtt

import "testing"

func TestAckForms(t *testing.T) {
	puback, pubrec := NewPuback(1, Success), NewPubrec(2, NoMatchingSubscribers)
	pubrel, pubcomp := NewPubrel(0x0304, Success), NewPubcomp(5, PacketIdentifierNotFound)
	for _, test := range []struct {
		ack      Ack
		v5, v311 string
	}{
		{puback, "\x40\x02\x00\x01", "\x40\x02\x00\x01"},
		{pubrec, "\x50\x03\x00\x02\x10", "\x50\x02\x00\x02"},
		{pubrel, "\x62\x02\x03\x04", "\x62\x02\x03\x04"},
		{pubcomp, "\x70\x03\x00\x05\x92", "\x70\x02\x00\x05"},
	} {
		if got := string(test.ack.Append(nil, V5)); got != test.v5 {
			t.Errorf("%v, 5.0: %x, want %x", test.ack.Type, got, test.v5)
		}
		test.ack.Properties.AddUser("k", "v") // which V311 does not have
		if got := string(test.ack.Append(nil, V311)); got != test.v311 {
			t.Errorf("%v, 3.1.1: %x, want %x", test.ack.Type, got, test.v311)
		}
	}
}

// A reason code and an empty list of properties is a longer way to say the same.
func TestAckLongForms(t *testing.T) {
	for _, body := range []string{"\x00\x01\x00", "\x00\x01\x00\x00"} {
		ack := Ack{Type: PUBACK}
		if err := ack.Decode(V5, 0, []byte(body)); err != nil || ack.PacketID != 1 || ack.Code != Success {
			t.Errorf("%x: %+v, %v", body, ack, err)
		}
	}
}

func TestV311HasNoAuth(t *testing.T) {
	auth := Auth{Code: ContinueAuthentication}
	if got := auth.Append([]byte("before"), V311); string(got) != "before" {
		t.Errorf("%x", got)
	}
}
