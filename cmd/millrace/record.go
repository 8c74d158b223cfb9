package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/millrace-mq/millrace/mqtt"
)

// A record is a message as -o json shows it. Payload or PayloadBase64 is there, whichever fits.
type record struct {
	Time          string            `json:"time"`
	Topic         string            `json:"topic"`
	QoS           byte              `json:"qos"`
	Retain        bool              `json:"retain"`
	Dup           bool              `json:"dup,omitempty"`
	Payload       *string           `json:"payload,omitempty"`
	PayloadBase64 []byte            `json:"payload_base64,omitempty"`
	Properties    *recordProperties `json:"properties,omitempty"`
}

type recordProperties struct {
	PayloadFormat         string       `json:"payload_format,omitempty"`
	MessageExpiry         *uint32      `json:"message_expiry,omitempty"` // seconds
	ContentType           string       `json:"content_type,omitempty"`
	ResponseTopic         string       `json:"response_topic,omitempty"`
	CorrelationData       string       `json:"correlation_data,omitempty"`
	CorrelationDataBase64 []byte       `json:"correlation_data_base64,omitempty"`
	SubscriptionIDs       []uint32     `json:"subscription_ids,omitempty"`
	ReasonString          string       `json:"reason_string,omitempty"`
	User                  []recordUser `json:"user,omitempty"` // in order; keys may repeat
}

type recordUser struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// recorded returns the properties that a message or its acknowledgement has, or nil.
func recorded(p *mqtt.Properties) *recordProperties {
	if p == nil || p.Has == 0 {
		return nil
	}
	has := p.Has.Contains
	r := new(recordProperties)
	if has(mqtt.PropPayloadFormat) && p.PayloadFormat == 1 {
		r.PayloadFormat = "utf-8"
	}
	if has(mqtt.PropMessageExpiry) {
		r.MessageExpiry = &p.MessageExpiry
	}
	if has(mqtt.PropContentType) {
		r.ContentType = string(p.ContentType)
	}
	if has(mqtt.PropResponseTopic) {
		r.ResponseTopic = string(p.ResponseTopic)
	}
	if has(mqtt.PropCorrelationData) {
		if utf8.Valid(p.CorrelationData) {
			r.CorrelationData = string(p.CorrelationData)
		} else {
			r.CorrelationDataBase64 = p.CorrelationData
		}
	}
	if has(mqtt.PropSubscriptionID) {
		r.SubscriptionIDs = p.SubscriptionIDs
	}
	if has(mqtt.PropReasonString) {
		r.ReasonString = string(p.ReasonString)
	}
	if has(mqtt.PropUser) {
		for key, value := range p.User.All() {
			r.User = append(r.User, recordUser{string(key), string(value)})
		}
	}
	return r
}

// recordOf is a received message.
func recordOf(p *mqtt.Publish, now time.Time) record {
	r := record{
		Time: now.Format(time.RFC3339Nano), Topic: string(p.Topic), QoS: p.QoS, Retain: p.Retain, Dup: p.Dup,
		Properties: recorded(&p.Properties),
	}
	if utf8.Valid(p.Payload) {
		text := string(p.Payload)
		r.Payload = &text
	} else {
		r.PayloadBase64 = p.Payload
	}
	return r
}

// writeJSON writes one line.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

const formatHelp = `%t topic, %p payload, %x payload in hexadecimal, %l its length, %q QoS, %r 1 if retained, %d 1 if sent again,
%c content type, %R response topic, %D correlation data, %E message expiry in seconds, %P user properties,
%I time (RFC 3339), %U seconds since 1970, %j everything as JSON, %% a percent sign, \n and \t as usual`

// A layout is a parsed --format.
type layout []func(w *strings.Builder, p *mqtt.Publish, now time.Time)

var verbs = map[byte]func(w *strings.Builder, p *mqtt.Publish, now time.Time){
	't': func(w *strings.Builder, p *mqtt.Publish, _ time.Time) { w.Write(p.Topic) },
	'p': func(w *strings.Builder, p *mqtt.Publish, _ time.Time) { w.Write(p.Payload) },
	'x': func(w *strings.Builder, p *mqtt.Publish, _ time.Time) { w.WriteString(hex.EncodeToString(p.Payload)) },
	'l': func(w *strings.Builder, p *mqtt.Publish, _ time.Time) { w.WriteString(strconv.Itoa(len(p.Payload))) },
	'q': func(w *strings.Builder, p *mqtt.Publish, _ time.Time) { w.WriteByte('0' + p.QoS) },
	'r': func(w *strings.Builder, p *mqtt.Publish, _ time.Time) { w.WriteByte(digit(p.Retain)) },
	'd': func(w *strings.Builder, p *mqtt.Publish, _ time.Time) { w.WriteByte(digit(p.Dup)) },
	'c': property(mqtt.PropContentType, func(p *mqtt.Properties) []byte { return p.ContentType }),
	'R': property(mqtt.PropResponseTopic, func(p *mqtt.Properties) []byte { return p.ResponseTopic }),
	'D': property(mqtt.PropCorrelationData, func(p *mqtt.Properties) []byte { return p.CorrelationData }),
	'E': property(mqtt.PropMessageExpiry, func(p *mqtt.Properties) []byte { return strconv.AppendUint(nil, uint64(p.MessageExpiry), 10) }),
	'P': property(mqtt.PropUser, func(p *mqtt.Properties) []byte {
		var pairs []string
		for key, value := range p.User.All() {
			pairs = append(pairs, string(key)+"="+string(value))
		}
		return []byte(strings.Join(pairs, " "))
	}),
	'I': func(w *strings.Builder, _ *mqtt.Publish, now time.Time) { w.WriteString(now.Format(time.RFC3339Nano)) },
	'U': func(w *strings.Builder, _ *mqtt.Publish, now time.Time) {
		w.WriteString(strconv.FormatInt(now.Unix(), 10))
	},
	'j': func(w *strings.Builder, p *mqtt.Publish, now time.Time) {
		text, err := json.Marshal(recordOf(p, now))
		if err != nil {
			panic(err) // a record has nothing that JSON cannot say
		}
		w.Write(text)
	},
	'%': func(w *strings.Builder, _ *mqtt.Publish, _ time.Time) { w.WriteByte('%') },
}

func property(id mqtt.Property, get func(p *mqtt.Properties) []byte) func(*strings.Builder, *mqtt.Publish, time.Time) {
	return func(w *strings.Builder, p *mqtt.Publish, _ time.Time) {
		if p.Properties.Has.Contains(id) {
			w.Write(get(&p.Properties))
		}
	}
}

func digit(b bool) byte {
	if b {
		return '1'
	}
	return '0'
}

// parseLayout reads a --format.
func parseLayout(text string) (layout, error) {
	text = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t").Replace(text)
	var l layout
	for text != "" {
		plain, rest, found := strings.Cut(text, "%")
		if plain != "" {
			l = append(l, func(w *strings.Builder, _ *mqtt.Publish, _ time.Time) { w.WriteString(plain) })
		}
		if !found {
			break
		}
		if rest == "" || verbs[rest[0]] == nil {
			return nil, fmt.Errorf("--format: %%%.1s is unknown; known are:\n%s", rest, formatHelp)
		}
		l = append(l, verbs[rest[0]])
		text = rest[1:]
	}
	return l, nil
}

// write writes one line.
func (l layout) write(w io.Writer, p *mqtt.Publish, now time.Time) error {
	var b strings.Builder
	for _, part := range l {
		part(&b, p, now)
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}
