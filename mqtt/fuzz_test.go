package mqtt

import (
	"bytes"
	"fmt"
	"testing"
	"unsafe"
)

// fuzzDecoder feeds one packet decoder, for both versions, and checks of what it accepts that
//   - Append writes a packet that decodes to the same fields and is written the same again;
//   - it is never longer than the input, since Append knows the shortest form, and is the input if the input was canonical;
//   - the packet owns no more memory than a small multiple of the input.
func fuzzDecoder(f *testing.F, types ...Type) {
	for _, test := range canonical {
		h, _, _ := ParseHeader([]byte(test.bytes))
		for _, t := range types {
			if t == h.Type {
				f.Add([]byte(test.bytes)[h.Size:], h.Flags, test.version == V5, byte(t))
			}
		}
	}
	for _, test := range refusals {
		for _, t := range types {
			if t == Type(test.first>>4) {
				f.Add([]byte(test.body), test.first&0x0F, test.v == V5, byte(t))
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, flags byte, v5 bool, kind byte) {
		v := V311
		if v5 {
			v = V5
		}
		checkDecoder(t, types[int(kind)%len(types)], v, flags&0x0F, body)
	})
}

// maxOwned is the greatest number of bytes that a packet may own for each byte of input: a Subscription of 32 bytes for a
// filter of one letter, which is four bytes on the wire, and the allocator's size classes.
const maxOwned = 12

func checkDecoder(t *testing.T, kind Type, v Version, flags byte, body []byte) {
	input := bytes.Clone(body)
	p := newPacket(kind)
	err := p.Decode(v, flags, body)
	if !bytes.Equal(input, body) {
		t.Fatal("the decoder has changed its input")
	}
	if owned := ownedBytes(p); owned > maxOwned*len(body)+64 {
		t.Fatalf("%d bytes for an input of %d", owned, len(body))
	}
	if err != nil {
		codeOf(t, err)
		return
	}
	if c, ok := p.(*connectPacket); ok {
		v = c.Version
	}
	first := p.Append(nil, v)
	h, ok, err := ParseHeader(first)
	if err != nil || !ok || int(h.Len()) != len(first) || h.Type != kind || h.Check(v) != nil {
		t.Fatalf("header of %x: %+v, %v, %v", first, h, ok, err)
	}
	if int(h.Remaining) > len(body) {
		t.Fatalf("%x became longer: %x", body, first)
	}
	again := newPacket(kind)
	if err := again.Decode(v, h.Flags, first[h.Size:]); err != nil {
		t.Fatalf("%x was accepted, %x is not: %v", body, first, err)
	}
	if one, two := fields(p), fields(again); one != two {
		t.Fatalf("fields differ:\n%s\n%s", one, two)
	}
	if second := again.Append(nil, v); !bytes.Equal(first, second) {
		t.Fatalf("appended as %x, then as %x", first, second)
	}
}

// fields shows what a packet says, without what it only keeps for reuse.
func fields(p packet) string {
	for _, properties := range propertiesOf(p) {
		properties.joined = nil
	}
	return fmt.Sprintf("%+v", p)
}

func propertiesOf(p packet) []*Properties {
	switch p := p.(type) {
	case *connectPacket:
		return []*Properties{&p.Properties, &p.Will.Properties}
	case *Connack:
		return []*Properties{&p.Properties}
	case *Publish:
		return []*Properties{&p.Properties}
	case *Ack:
		return []*Properties{&p.Properties}
	case *Subscribe:
		return []*Properties{&p.Properties}
	case *Suback:
		return []*Properties{&p.Properties}
	case *Unsubscribe:
		return []*Properties{&p.Properties}
	case *Unsuback:
		return []*Properties{&p.Properties}
	case *Disconnect:
		return []*Properties{&p.Properties}
	case *Auth:
		return []*Properties{&p.Properties}
	}
	return nil
}

// ownedBytes is the memory behind a packet that is not the input's.
func ownedBytes(p packet) int {
	owned := 0
	for _, properties := range propertiesOf(p) {
		owned += cap(properties.joined) + 4*cap(properties.SubscriptionIDs)
	}
	switch p := p.(type) {
	case *Subscribe:
		owned += cap(p.Subscriptions) * int(unsafe.Sizeof(Subscription{}))
	case *Unsubscribe:
		owned += cap(p.Filters) * int(unsafe.Sizeof([]byte{}))
	case *Suback:
		owned += cap(p.Codes)
	case *Unsuback:
		owned += cap(p.Codes)
	}
	return owned
}

func FuzzConnect(f *testing.F)     { fuzzDecoder(f, CONNECT) }
func FuzzConnack(f *testing.F)     { fuzzDecoder(f, CONNACK) }
func FuzzPublish(f *testing.F)     { fuzzDecoder(f, PUBLISH) }
func FuzzAck(f *testing.F)         { fuzzDecoder(f, PUBACK, PUBREC, PUBREL, PUBCOMP) }
func FuzzSubscribe(f *testing.F)   { fuzzDecoder(f, SUBSCRIBE) }
func FuzzSuback(f *testing.F)      { fuzzDecoder(f, SUBACK) }
func FuzzUnsubscribe(f *testing.F) { fuzzDecoder(f, UNSUBSCRIBE) }
func FuzzUnsuback(f *testing.F)    { fuzzDecoder(f, UNSUBACK) }
func FuzzPing(f *testing.F)        { fuzzDecoder(f, PINGREQ, PINGRESP) }
func FuzzDisconnect(f *testing.F)  { fuzzDecoder(f, DISCONNECT) }
func FuzzAuth(f *testing.F)        { fuzzDecoder(f, AUTH) }

// FuzzHeader parses what may or may not be a fixed header, whole and byte by byte, with the same result.
func FuzzHeader(f *testing.F) {
	for _, seed := range []string{"", "\x10", "\x30\x80\x80\x80\x01", "\x30\xff\xff\xff\xff", "\xf0\x81\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		whole, wholeOK, wholeErr := ParseHeader(input)
		for length := range len(input) + 1 {
			h, ok, err := ParseHeader(input[:length])
			if !ok && err == nil {
				continue
			}
			if h != whole || ok != wholeOK || err != wholeErr {
				t.Fatalf("%x: %+v %v %v after %d bytes, %+v %v %v after all", input, h, ok, err, length, whole, wholeOK, wholeErr)
			}
			break
		}
		if wholeOK && (whole.Size > len(input) || whole.Remaining > MaxRemaining || whole.Type == 0) {
			t.Fatalf("%x: %+v", input, whole)
		}
		if wholeErr != nil {
			codeOf(t, wholeErr)
		}
	})
}
