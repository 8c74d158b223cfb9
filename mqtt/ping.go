package mqtt

// Pingreq keeps a connection alive (3.12).
//
//	| 1100 0000 | 0 |
type Pingreq struct{}

// Pingresp answers Pingreq (3.13).
//
//	| 1101 0000 | 0 |
type Pingresp struct{}

// Decode checks that there is nothing behind the fixed header.
func (*Pingreq) Decode(_ Version, flags byte, body []byte) error {
	return decodeEmpty(PINGREQ, flags, body)
}

// Append writes the packet.
func (*Pingreq) Append(dst []byte, _ Version) []byte { return append(dst, byte(PINGREQ)<<4, 0) }

// Decode checks that there is nothing behind the fixed header.
func (*Pingresp) Decode(_ Version, flags byte, body []byte) error {
	return decodeEmpty(PINGRESP, flags, body)
}

// Append writes the packet.
func (*Pingresp) Append(dst []byte, _ Version) []byte { return append(dst, byte(PINGRESP)<<4, 0) }

func decodeEmpty(t Type, flags byte, body []byte) error {
	if err := checkFlags(t, flags); err != nil {
		return err
	}
	if len(body) > 0 {
		return errTrailing
	}
	return nil
}
