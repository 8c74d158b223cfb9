package mqtt

import (
	"errors"
	"testing"
)

// codeOf returns the reason code of a decoder's error; every one of them must be an *Error.
func codeOf(t *testing.T, err error) ReasonCode {
	t.Helper()
	var refused *Error
	if !errors.As(err, &refused) {
		t.Fatalf("not an *Error: %v", err)
	}
	if refused.Reason == "" {
		t.Errorf("error without a reason: %v", err)
	}
	return refused.Code
}

// refusals are packets that must not be accepted, with the code that says why. The remaining length is put in by the test;
// the first byte is followed by the body.
var refusals = []struct {
	name  string
	v     Version
	first byte
	body  string
	code  ReasonCode
}{
	// CONNECT: protocol
	{"connect empty", V5, 0x10, "", MalformedPacket},
	{"connect half a name", V5, 0x10, "\x00\x04MQ", MalformedPacket},
	{"connect other protocol", V5, 0x10, "\x00\x04HTTP\x05\x02\x00\x00\x00\x00\x00", UnsupportedProtocolVersion},
	{"connect mqtt in small letters", V5, 0x10, "\x00\x04mqtt\x05\x02\x00\x00\x00\x00\x00", UnsupportedProtocolVersion},
	{"connect longer name", V5, 0x10, "\x00\x05MQTTX\x05\x02\x00\x00\x00\x00\x00", UnsupportedProtocolVersion},
	{"connect 3.1", V311, 0x10, "\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01a", UnsupportedProtocolVersion},
	{"connect level 3", V311, 0x10, "\x00\x04MQTT\x03\x02\x00\x3c\x00\x01a", UnsupportedProtocolVersion},
	{"connect level 6", V5, 0x10, "\x00\x04MQTT\x06\x02\x00\x3c\x00\x00\x01a", UnsupportedProtocolVersion},
	{"connect level 0x84, a bridge", V5, 0x10, "\x00\x04MQTT\x84\x02\x00\x3c\x00\x01a", UnsupportedProtocolVersion},
	// CONNECT: flags
	{"connect reserved flag [MQTT-3.1.2-3]", V5, 0x10, "\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x01a", MalformedPacket},
	{"connect reserved flag, 3.1.1", V311, 0x10, "\x00\x04MQTT\x04\x03\x00\x00\x00\x01a", MalformedPacket},
	{"connect will QoS 3 [MQTT-3.1.2-12]", V5, 0x10, "\x00\x04MQTT\x05\x1e\x00\x00\x00\x00\x01a\x00\x00\x01w\x00\x00", MalformedPacket},
	{"connect will QoS without will [MQTT-3.1.2-11]", V5, 0x10, "\x00\x04MQTT\x05\x0a\x00\x00\x00\x00\x01a", MalformedPacket},
	{"connect will retain without will [MQTT-3.1.2-13]", V311, 0x10, "\x00\x04MQTT\x04\x22\x00\x00\x00\x01a", MalformedPacket},
	{"connect password without username, 3.1.1 [MQTT-3.1.2-22]", V311, 0x10, "\x00\x04MQTT\x04\x42\x00\x00\x00\x01a\x00\x01p", MalformedPacket},
	// CONNECT: payload
	{"connect no client id, 3.1.1 [MQTT-3.1.3-8]", V311, 0x10, "\x00\x04MQTT\x04\x00\x00\x00\x00\x00", ClientIdentifierNotValid},
	{"connect client id not UTF-8 [MQTT-3.1.3-4]", V5, 0x10, "\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01\xff", MalformedPacket},
	{"connect client id with U+0000", V5, 0x10, "\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01\x00", MalformedPacket},
	{"connect username not UTF-8 [MQTT-3.1.3-12]", V5, 0x10, "\x00\x04MQTT\x05\x82\x00\x00\x00\x00\x01a\x00\x02\xc0\x80", MalformedPacket},
	{"connect will topic empty", V5, 0x10, "\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01a\x00\x00\x00\x00\x00", ProtocolError},
	{"connect will topic with wildcard", V5, 0x10, "\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01a\x00\x00\x03a/#\x00\x00", TopicNameInvalid},
	{"connect will topic not UTF-8 [MQTT-3.1.3-11]", V5, 0x10, "\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01a\x00\x00\x03\xed\xa0\x80\x00\x00", MalformedPacket},
	{"connect will property of another packet", V5, 0x10, "\x00\x04MQTT\x05\x06\x00\x00\x00\x00\x01a\x03\x23\x00\x01\x00\x01w\x00\x00", MalformedPacket},
	{"connect trailing byte", V5, 0x10, "\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x01ax", MalformedPacket},
	{"connect trailing byte, 3.1.1", V311, 0x10, "\x00\x04MQTT\x04\x02\x00\x00\x00\x01ax", MalformedPacket},
	{"connect authentication data without method", V5, 0x10, "\x00\x04MQTT\x05\x02\x00\x00\x04\x16\x00\x01d\x00\x01a", ProtocolError},
	// CONNACK
	{"connack reserved flag [MQTT-3.2.2-1]", V5, 0x20, "\x02\x00\x00", MalformedPacket},
	{"connack session present and refused [MQTT-3.2.2-6]", V5, 0x20, "\x01\x87\x00", ProtocolError},
	{"connack session present and refused, 3.1.1 [MQTT-3.2.2-4]", V311, 0x20, "\x01\x05", ProtocolError},
	{"connack code of another packet [MQTT-3.2.2-8]", V5, 0x20, "\x00\x8e\x00", ProtocolError},
	{"connack return code 6", V311, 0x20, "\x00\x06", ProtocolError},
	{"connack without properties", V5, 0x20, "\x00\x00", MalformedPacket},
	{"connack trailing byte", V311, 0x20, "\x00\x00\x00", MalformedPacket},
	{"connack trailing byte", V5, 0x20, "\x00\x00\x00\x00", MalformedPacket},
	{"connack authentication data without method", V5, 0x20, "\x00\x00\x04\x16\x00\x01d", ProtocolError},
	// PUBLISH
	{"publish QoS 3 [MQTT-3.3.1-4]", V311, 0x36, "\x00\x01t\x00\x01", MalformedPacket},
	{"publish QoS 3", V5, 0x36, "\x00\x01t\x00\x01\x00", MalformedPacket},
	{"publish DUP with QoS 0 [MQTT-3.3.1-2]", V5, 0x38, "\x00\x01t\x00", MalformedPacket},
	{"publish DUP with QoS 0, 3.1.1", V311, 0x38, "\x00\x01t", MalformedPacket},
	{"publish packet id 0 [MQTT-2.2.1-3]", V5, 0x32, "\x00\x01t\x00\x00\x00", ProtocolError},
	{"publish packet id 0, 3.1.1", V311, 0x34, "\x00\x01t\x00\x00", ProtocolError},
	{"publish no topic, 3.1.1 [MQTT-4.7.3-1]", V311, 0x30, "\x00\x00payload", MalformedPacket},
	{"publish neither topic nor alias", V5, 0x30, "\x00\x00\x00payload", ProtocolError},
	{"publish topic with # [MQTT-3.3.2-2]", V5, 0x30, "\x00\x01#\x00", TopicNameInvalid},
	{"publish topic with + in a long name", V5, 0x30, "\x00\x12factory/line/+/abc\x00", TopicNameInvalid},
	{"publish topic with + behind other letters", V311, 0x30, "\x00\x0afühler/+/", TopicNameInvalid},
	{"publish topic with U+0000 [MQTT-1.5.4-2]", V5, 0x30, "\x00\x03a\x00b\x00", MalformedPacket},
	{"publish topic with U+0000 in a long name", V311, 0x30, "\x00\x0cabcdefgh\x00ijk", MalformedPacket},
	{"publish topic with a surrogate [MQTT-1.5.4-1]", V5, 0x30, "\x00\x03\xed\xa0\x80\x00", MalformedPacket},
	{"publish topic with an overlong form", V5, 0x30, "\x00\x02\xc0\xaf\x00", MalformedPacket},
	{"publish topic beyond U+10FFFF", V5, 0x30, "\x00\x04\xf4\x90\x80\x80\x00", MalformedPacket},
	{"publish topic alias 0 [MQTT-3.3.2-8]", V5, 0x30, "\x00\x01t\x03\x23\x00\x00", TopicAliasInvalid},
	{"publish subscription identifier 0", V5, 0x30, "\x00\x01t\x02\x0b\x00", ProtocolError},
	{"publish subscription identifier of five bytes", V5, 0x30, "\x00\x01t\x06\x0b\x80\x80\x80\x80\x01", MalformedPacket},
	{"publish subscription identifier not in the fewest bytes [MQTT-1.5.5-1]", V5, 0x30, "\x00\x01t\x03\x0b\x81\x00", MalformedPacket},
	{"publish payload format 2", V5, 0x30, "\x00\x01t\x02\x01\x02", ProtocolError},
	{"publish response topic with wildcard [MQTT-3.3.2-14]", V5, 0x30, "\x00\x01t\x04\x08\x00\x01+", ProtocolError},
	{"publish response topic empty", V5, 0x30, "\x00\x01t\x03\x08\x00\x00", ProtocolError},
	{"publish content type not UTF-8 [MQTT-3.3.2-19]", V5, 0x30, "\x00\x01t\x04\x03\x00\x01\xff", MalformedPacket},
	{"publish user property key not UTF-8 [MQTT-1.5.7-1]", V5, 0x30, "\x00\x01t\x07\x26\x00\x01\xff\x00\x01v", MalformedPacket},
	{"publish user property value not UTF-8 [MQTT-1.5.7-1]", V5, 0x30, "\x00\x01t\x07\x26\x00\x01k\x00\x01\xff", MalformedPacket},
	{"publish property length beyond the packet", V5, 0x30, "\x00\x01t\x05\x01\x00", MalformedPacket},
	{"publish property length of five bytes", V5, 0x30, "\x00\x01t\x80\x80\x80\x80\x01", MalformedPacket},
	{"publish property length not in the fewest bytes", V5, 0x30, "\x00\x01t\x82\x00\x01\x00", MalformedPacket},
	{"publish property length zero in two bytes", V5, 0x30, "\x00\x01t\x80\x00", MalformedPacket},
	{"publish property cut by the property length", V5, 0x30, "\x00\x01t\x03\x02\x00\x00\x00\x01", MalformedPacket},
	{"publish property 0", V5, 0x30, "\x00\x01t\x02\x00\x00", MalformedPacket},
	{"publish property 4, which does not exist", V5, 0x30, "\x00\x01t\x02\x04\x00", MalformedPacket},
	{"publish property 0x2b, one too many", V5, 0x30, "\x00\x01t\x02\x2b\x00", MalformedPacket},
	{"publish property identifier of two bytes", V5, 0x30, "\x00\x01t\x03\x81\x00\x00", MalformedPacket},
	{"publish property identifier 0x40", V5, 0x30, "\x00\x01t\x02\x40\x00", MalformedPacket},
	// acknowledgements
	{"puback packet id 0", V311, 0x40, "\x00\x00", ProtocolError},
	{"puback one byte", V5, 0x40, "\x00", MalformedPacket},
	{"puback reason code in 3.1.1", V311, 0x40, "\x00\x01\x00", MalformedPacket},
	{"puback code of another packet [MQTT-3.4.2-1]", V5, 0x40, "\x00\x01\x92", ProtocolError},
	{"puback trailing byte", V5, 0x40, "\x00\x01\x00\x00\x00", MalformedPacket},
	{"puback reserved flags", V5, 0x42, "\x00\x01", MalformedPacket},
	{"pubrec code of another packet [MQTT-3.5.2-1]", V5, 0x50, "\x00\x01\x92", ProtocolError},
	{"pubrec packet id 0", V5, 0x50, "\x00\x00\x10", ProtocolError},
	{"pubrel flags [MQTT-3.6.1-1]", V5, 0x60, "\x00\x01", MalformedPacket},
	{"pubrel flags", V311, 0x63, "\x00\x01", MalformedPacket},
	{"pubrel code of another packet [MQTT-3.6.2-1]", V5, 0x62, "\x00\x01\x10", ProtocolError},
	{"pubrel packet id 0", V311, 0x62, "\x00\x00", ProtocolError},
	{"pubcomp code of another packet [MQTT-3.7.2-1]", V5, 0x70, "\x00\x01\x91", ProtocolError},
	{"pubcomp property of another packet", V5, 0x70, "\x00\x01\x00\x02\x01\x00", MalformedPacket},
	// SUBSCRIBE
	{"subscribe flags [MQTT-3.8.1-1]", V5, 0x80, "\x00\x01\x00\x00\x01a\x00", MalformedPacket},
	{"subscribe packet id 0", V5, 0x82, "\x00\x00\x00\x00\x01a\x00", ProtocolError},
	{"subscribe no filter [MQTT-3.8.3-2]", V5, 0x82, "\x00\x01\x00", ProtocolError},
	{"subscribe no filter, 3.1.1 [MQTT-3.8.3-3]", V311, 0x82, "\x00\x01", ProtocolError},
	{"subscribe empty filter [MQTT-4.7.3-1]", V5, 0x82, "\x00\x01\x00\x00\x00\x00", ProtocolError},
	{"subscribe filter not UTF-8 [MQTT-3.8.3-1]", V5, 0x82, "\x00\x01\x00\x00\x01\xff\x00", MalformedPacket},
	{"subscribe filter without options", V5, 0x82, "\x00\x01\x00\x00\x01a", MalformedPacket},
	{"subscribe reserved option 6 [MQTT-3.8.3-5]", V5, 0x82, "\x00\x01\x00\x00\x01a\x40", MalformedPacket},
	{"subscribe reserved option 7", V5, 0x82, "\x00\x01\x00\x00\x01a\x80", MalformedPacket},
	{"subscribe QoS 3", V5, 0x82, "\x00\x01\x00\x00\x01a\x03", ProtocolError},
	{"subscribe QoS 3, 3.1.1 [MQTT-3-8.3-4]", V311, 0x82, "\x00\x01\x00\x01a\x03", MalformedPacket},
	{"subscribe no local in 3.1.1", V311, 0x82, "\x00\x01\x00\x01a\x04", MalformedPacket},
	{"subscribe retain handling 3", V5, 0x82, "\x00\x01\x00\x00\x01a\x30", ProtocolError},
	{"subscribe second filter cut", V5, 0x82, "\x00\x01\x00\x00\x01a\x00\x00\x05b", MalformedPacket},
	{"subscribe subscription identifier twice", V5, 0x82, "\x00\x01\x04\x0b\x01\x0b\x02\x00\x01a\x00", ProtocolError},
	{"subscribe subscription identifier 0", V5, 0x82, "\x00\x01\x02\x0b\x00\x00\x01a\x00", ProtocolError},
	// SUBACK, UNSUBSCRIBE, UNSUBACK
	{"suback flags", V5, 0x92, "\x00\x01\x00\x00", MalformedPacket},
	{"suback no code", V5, 0x90, "\x00\x01\x00", ProtocolError},
	{"suback code of another packet [MQTT-3.9.3-2]", V5, 0x90, "\x00\x01\x00\x03", ProtocolError},
	{"suback 5.0 code in 3.1.1", V311, 0x90, "\x00\x01\x87", ProtocolError},
	{"suback packet id 0", V311, 0x90, "\x00\x00\x00", ProtocolError},
	{"unsubscribe flags [MQTT-3.10.1-1]", V311, 0xa0, "\x00\x01\x00\x01a", MalformedPacket},
	{"unsubscribe no filter [MQTT-3.10.3-2]", V5, 0xa2, "\x00\x01\x00", ProtocolError},
	{"unsubscribe no filter, 3.1.1", V311, 0xa2, "\x00\x01", ProtocolError},
	{"unsubscribe empty filter", V311, 0xa2, "\x00\x01\x00\x00", ProtocolError},
	{"unsubscribe filter not UTF-8 [MQTT-3.10.3-1]", V311, 0xa2, "\x00\x01\x00\x02\xc3\x28", MalformedPacket},
	{"unsubscribe packet id 0", V5, 0xa2, "\x00\x00\x00\x00\x01a", ProtocolError},
	{"unsuback no code", V5, 0xb0, "\x00\x01\x00", ProtocolError},
	{"unsuback code in 3.1.1", V311, 0xb0, "\x00\x01\x00", MalformedPacket},
	{"unsuback code of another packet [MQTT-3.11.3-2]", V5, 0xb0, "\x00\x01\x00\x97", ProtocolError},
	// PINGREQ, PINGRESP, DISCONNECT, AUTH
	{"pingreq with a body", V5, 0xc0, "\x00", MalformedPacket},
	{"pingreq flags", V311, 0xc1, "", MalformedPacket},
	{"pingresp with a body", V311, 0xd0, "\x00", MalformedPacket},
	{"disconnect flags [MQTT-3.14.1-1]", V5, 0xe1, "", MalformedPacket},
	{"disconnect with a code in 3.1.1", V311, 0xe0, "\x00", MalformedPacket},
	{"disconnect code of another packet [MQTT-3.14.2-1]", V5, 0xe0, "\x85", ProtocolError},
	{"disconnect trailing byte", V5, 0xe0, "\x00\x00\x00", MalformedPacket},
	{"disconnect property of another packet", V5, 0xe0, "\x00\x03\x13\x00\x01", MalformedPacket},
	{"auth in 3.1.1", V311, 0xf0, "", ProtocolError},
	{"auth flags [MQTT-3.15.1-1]", V5, 0xf1, "", MalformedPacket},
	{"auth code of another packet [MQTT-3.15.2-1]", V5, 0xf0, "\x80\x04\x15\x00\x01m", ProtocolError},
	{"auth without method", V5, 0xf0, "\x18\x00", ProtocolError},
	{"auth with data but no method", V5, 0xf0, "\x18\x04\x16\x00\x01d", ProtocolError},
	{"auth without property length", V5, 0xf0, "\x18", MalformedPacket},
	{"auth trailing byte", V5, 0xf0, "\x18\x04\x15\x00\x01mx", MalformedPacket},
}

func TestRefusals(t *testing.T) {
	for _, test := range refusals {
		t.Run(test.name, func(t *testing.T) {
			p := newPacket(Type(test.first >> 4))
			err := p.Decode(test.v, test.first&0x0F, []byte(test.body))
			if err == nil {
				t.Fatalf("accepted as %+v", p)
			}
			if code := codeOf(t, err); code != test.code {
				t.Errorf("refused with %v (%v), want %v", code, err, test.code)
			}
		})
	}
}

// Each canonical packet cut at every byte: what is left is either refused or a shorter packet that means just what it says.
func TestCutAtEveryByte(t *testing.T) {
	// The lengths of body at which a packet may end, besides its full length. All other cuts must be refused.
	shorter := map[string][]int{
		"publish 3.1.1":                     {3, 4},
		"publish 3.1.1 qos 2":               {5, 6},
		"publish 5":                         {4, 5},
		"publish 5 alias":                   {8, 9},
		"puback 5 code":                     {2},
		"pubrec 5 properties":               {2, 3},
		"pubrel 5 code":                     {2},
		"pubcomp 5 success with properties": {2, 3},
		"subscribe 3.1.1":                   {8},
		"suback 3.1.1":                      {3, 4, 5},
		"suback 5":                          {8},
		"unsubscribe 3.1.1":                 {5},
		"unsuback 5":                        {4},
		"disconnect 5 code":                 {0},
		"disconnect 5 properties":           {0, 1},
		"auth with all":                     {0},
	}
	for _, test := range canonical {
		t.Run(test.name, func(t *testing.T) {
			h, ok, err := ParseHeader([]byte(test.bytes))
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			body := []byte(test.bytes)[h.Size:]
			valid := make(map[int]bool)
			for _, length := range shorter[test.name] {
				valid[length] = true
			}
			for length := range body {
				p := newPacket(h.Type)
				err := p.Decode(test.version, h.Flags, body[:length:length])
				switch {
				case err == nil && !valid[length]:
					t.Errorf("accepted with %d of %d bytes", length, len(body))
				case err != nil && valid[length]:
					t.Errorf("refused with %d of %d bytes: %v", length, len(body), err)
				case err != nil:
					codeOf(t, err)
				}
			}
			longer := append(body[:len(body):len(body)], "\xff\xff\xff"...)
			if err := newPacket(h.Type).Decode(test.version, h.Flags, longer); err == nil && h.Type != PUBLISH {
				t.Error("accepted with bytes behind the end")
			}
		})
	}
}
