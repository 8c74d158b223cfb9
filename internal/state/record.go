package state

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"

	"github.com/millrace-mq/millrace/internal/message"
	"github.com/millrace-mq/millrace/internal/session"
	"github.com/millrace-mq/millrace/mqtt"
)

// errMalformed is what every decoder answers to bytes that no encoder made.
var errMalformed = errors.New("state: malformed")

// Flags of a message record.
const (
	recordQoS     = 0x03
	recordRetain  = 0x04
	recordExpires = 0x08
	recordProps   = 0x10
)

// appendRecord encodes a message. Who sent it is not kept: the numbers of clients are of one run of the node.
func appendRecord(dst []byte, m *message.Message) []byte {
	flags := m.QoS & recordQoS
	if m.Retain {
		flags |= recordRetain
	}
	if m.Expires != 0 {
		flags |= recordExpires
	}
	if len(m.Props) > 0 {
		flags |= recordProps
	}
	dst = append(dst, flags)
	if m.Expires != 0 {
		dst = binary.AppendUvarint(dst, uint64(m.Expires))
	}
	dst = appendBytes(dst, m.Topic)
	if len(m.Props) > 0 {
		dst = appendBytes(dst, m.Props)
	}
	return append(dst, m.Payload...)
}

// decodeRecord fills a borrowed message with the bytes of a record.
func decodeRecord(b []byte, m *message.Message) error {
	r := reader{b: b}
	flags := r.byte()
	m.QoS, m.Retain, m.Expires, m.Props, m.Sender = flags&recordQoS, flags&recordRetain != 0, 0, nil, 0
	if flags&recordExpires != 0 {
		at := r.uvarint()
		r.check(at != 0 && at <= math.MaxInt64)
		m.Expires = int64(at)
	}
	m.Topic = r.bytes()
	if flags&recordProps != 0 {
		m.Props = r.bytes()
		r.check(len(m.Props) > 0)
	}
	r.check(len(m.Topic) > 0 && m.QoS < 3 && flags < 2*recordProps)
	if r.bad {
		return errMalformed
	}
	m.Payload = r.b
	return nil
}

// Flags of the head of an item.
const (
	itemQoS    = 0x03
	itemRetain = 0x04
	itemShared = 0x08 // the message is elsewhere, below its number
	itemID     = 0x10 // a packet identifier follows
	itemIDs    = 0x20 // subscription identifiers follow
	itemSource = 0x40 // the filter of a shared subscription follows
)

// appendItem encodes how a message is delivered. source is the filter of the shared subscription that it came by, or "".
func appendItem(dst []byte, o *session.Outbound, source string) []byte {
	at := len(dst)
	dst = append(dst, o.QoS&itemQoS)
	if o.Retain {
		dst[at] |= itemRetain
	}
	if o.PacketID != 0 {
		dst[at] |= itemID
		dst = binary.BigEndian.AppendUint16(dst, o.PacketID)
	}
	switch {
	case o.More != nil && len(o.More.IDs) > 0:
		dst[at] |= itemIDs
		dst = binary.AppendUvarint(dst, uint64(len(o.More.IDs)))
		for _, id := range o.More.IDs {
			dst = binary.AppendUvarint(dst, uint64(id))
		}
	case o.ID != 0:
		dst[at] |= itemIDs
		dst = binary.AppendUvarint(append(dst, 1), uint64(o.ID))
	}
	if source != "" {
		dst[at] |= itemSource
		dst = appendBytes(dst, source)
	}
	return dst
}

// decodeItem reads the head of an item and gives what is behind it: the message, unless it is shared.
func decodeItem(b []byte, o *session.Outbound) (rest []byte, shared bool, err error) {
	r := reader{b: b}
	flags := r.byte()
	*o = session.Outbound{QoS: flags & itemQoS, Retain: flags&itemRetain != 0}
	if flags&itemID != 0 {
		o.PacketID = r.uint16()
		r.check(o.PacketID != 0)
	}
	var ids []uint32
	if flags&itemIDs != 0 {
		ids = r.identifiers()
	}
	var source string
	if flags&itemSource != 0 {
		source = string(r.bytes())
		r.check(source != "")
	}
	r.check(o.QoS == 1 || o.QoS == 2)
	r.check(flags&^(itemQoS|itemRetain|itemShared|itemID|itemIDs|itemSource) == 0)
	if r.bad {
		return nil, false, errMalformed
	}
	if len(ids) == 1 {
		o.ID, ids = ids[0], nil
	}
	if ids != nil || source != "" {
		o.More = &session.More{IDs: ids}
		if source != "" {
			o.More.Source = source
		}
	}
	return r.b, flags&itemShared != 0, nil
}

// identifiers reads a list of subscription identifiers, one or more.
func (r *reader) identifiers() []uint32 {
	n := r.uvarint()
	if r.check(n > 0 && n <= uint64(len(r.b))); r.bad {
		return nil
	}
	ids := make([]uint32, 0, n)
	for range n {
		id := r.uvarint()
		r.check(id > 0 && id <= maxSubscriptionID)
		ids = append(ids, uint32(id))
	}
	return ids
}

// maxSubscriptionID is the protocol's (3.8.2.1.2).
const maxSubscriptionID = 268_435_455

// Bits of subscription options.
const (
	optQoS           = 0x03
	optNoLocal       = 0x04
	optAsPublished   = 0x08
	optHandling      = 0x30
	optHandlingShift = 4
)

// appendOptions encodes the options of a subscription, and the group of one to a queue.
func appendOptions(dst []byte, o *session.SubOptions, group string) []byte {
	b := o.QoS&optQoS | o.RetainHandling<<optHandlingShift&optHandling
	if o.NoLocal {
		b |= optNoLocal
	}
	if o.RetainAsPublished {
		b |= optAsPublished
	}
	return append(binary.AppendUvarint(append(dst, b), uint64(o.ID)), group...)
}

func decodeOptions(b []byte, o *session.SubOptions) (group string, err error) {
	r := reader{b: b}
	bits := r.byte()
	id := r.uvarint()
	*o = session.SubOptions{
		QoS: bits & optQoS, RetainHandling: bits & optHandling >> optHandlingShift, NoLocal: bits&optNoLocal != 0,
		RetainAsPublished: bits&optAsPublished != 0, ID: uint32(id),
	}
	r.check(o.QoS < 3 && o.RetainHandling < 3 && bits < 0x40 && id <= maxSubscriptionID)
	if r.bad {
		return "", errMalformed
	}
	return string(r.b), nil
}

// Flags of the head of a session.
const (
	headWill      = 0x01
	headRetain    = 0x02 // of the will
	headHasExpiry = 0x04 // the will's message expires
	headQoS       = 0x18 // of the will
	headQoSShift  = 3
)

// appendHead encodes a session without its lists.
func appendHead(dst []byte, n *session.Snapshot) []byte {
	w := n.Will
	var flags byte
	if w != nil {
		flags = headWill | w.QoS<<headQoSShift&headQoS
		if w.Retain {
			flags |= headRetain
		}
		if w.HasExpiry {
			flags |= headHasExpiry
		}
	}
	dst = append(dst, flags, byte(n.Version))
	dst = binary.AppendUvarint(dst, uint64(n.Expiry))
	dst = binary.AppendUvarint(dst, uint64(n.EndsAt))
	dst = appendBytes(dst, n.ClientID)
	if w == nil {
		return dst
	}
	dst = binary.AppendUvarint(dst, uint64(n.WillAt))
	dst = binary.AppendUvarint(dst, uint64(w.Delay))
	dst = binary.AppendUvarint(dst, uint64(w.Expiry))
	dst = appendBytes(dst, w.Topic)
	dst = appendBytes(dst, w.Props)
	return append(dst, w.Payload...)
}

// decodeHead copies what it needs of b.
func decodeHead(b []byte) (*session.Snapshot, error) {
	r := reader{b: b}
	flags, version := r.byte(), mqtt.Version(r.byte())
	n := &session.Snapshot{Version: version, Expiry: uint32(r.limited(session.Never)), EndsAt: int64(r.limited(math.MaxInt64))}
	n.ClientID = string(r.bytes())
	r.check(version == mqtt.V5 || version == mqtt.V311)
	if flags&headWill == 0 {
		r.check(flags == 0)
		return n, r.end()
	}
	w := &session.Will{
		QoS: flags & headQoS >> headQoSShift, Retain: flags&headRetain != 0, HasExpiry: flags&headHasExpiry != 0,
	}
	n.WillAt = int64(r.limited(math.MaxInt64))
	w.Delay, w.Expiry = uint32(r.limited(math.MaxUint32)), uint32(r.limited(math.MaxUint32))
	w.Topic, w.Props = slices.Clone(r.bytes()), slices.Clone(r.bytes())
	r.check(len(w.Topic) > 0 && w.QoS < 3 && flags < 0x20)
	if r.bad {
		return nil, errMalformed
	}
	w.Payload = slices.Clone(r.b)
	n.Will = w
	return n, nil
}

func appendUvarint(dst []byte, n uint64) []byte { return binary.AppendUvarint(dst, n) }
