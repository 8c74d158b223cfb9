package mqtt

// Will is the message that the server publishes when the client is lost (3.1.2.5, 3.1.3.2). It stands inside CONNECT.
//
//	| property length | properties: V5 |
//	| topic length | topic |
//	| payload length, two bytes | payload |
type Will struct {
	QoS        byte
	Retain     bool
	Properties Properties
	Topic      []byte
	Payload    []byte // 65,535 bytes at most
}

func (w *Will) reset() {
	w.QoS, w.Retain, w.Topic, w.Payload = 0, false, nil, nil
	w.Properties.Reset()
}

// take reads the will at the front of b. The topic is one that a message can have. [MQTT-3.1.3-11]
func (w *Will) take(v Version, b []byte) (rest []byte, err error) {
	rest = b
	if v == V5 {
		if rest, err = w.Properties.take(rest, willProperties); err != nil {
			return nil, err
		}
	}
	var ok bool
	if w.Topic, rest, ok = takeBinary(rest); !ok {
		return nil, errTruncated
	}
	if len(w.Topic) == 0 {
		return nil, errTopicEmpty
	}
	if err := checkTopicName(w.Topic); err != nil {
		return nil, err
	}
	if w.Payload, rest, ok = takeBinary(rest); !ok {
		return nil, errTruncated
	}
	return rest, nil
}

func (w *Will) size(v Version) int {
	size := 2 + len(w.Topic) + 2 + len(w.Payload)
	if v == V5 {
		propertySize := w.Properties.size(willProperties)
		size += varintSize(propertySize) + propertySize
	}
	return size
}

func (w *Will) append(dst []byte, v Version) []byte {
	if v == V5 {
		dst = w.Properties.append(dst, willProperties, w.Properties.size(willProperties))
	}
	return appendBytes(appendBytes(dst, w.Topic), w.Payload)
}
