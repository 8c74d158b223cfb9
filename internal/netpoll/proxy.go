package netpoll

import (
	"encoding/binary"
	"errors"
	"net"
)

// Version 2 of the PROXY protocol (haproxy.org/download/2.9/doc/proxy-protocol.txt), a header before everything else:
//
//	signature (12)  version and command (1)  family and protocol (1)  length (2)  addresses  TLVs
//
// Version 1, which is text, is refused.
const (
	proxySignature = "\r\n\r\n\x00\r\nQUIT\n"
	proxyFixed     = 16
	maxProxyHeader = 4 << 10
)

var errProxy = errors.New("netpoll: no valid PROXY v2 header")

// proxyHeader waits for the header.
type proxyHeader struct{ preliminary }

func (p *proxyHeader) Data(t *Turn, b []byte) (int, error) {
	remote, n, err := parseProxy(b)
	if err != nil || n == 0 {
		return 0, err
	}
	p.c.extend().remote = remote
	t.loop.proceed(p.c, stepProxied)
	return n, nil
}

// parseProxy returns the address of the client (nil: that of the socket) and the length of the header; 0 if there is more to
// come.
func parseProxy(b []byte) (net.Addr, int, error) {
	if n := min(len(b), len(proxySignature)); string(b[:n]) != proxySignature[:n] {
		return nil, 0, errProxy
	}
	if len(b) < proxyFixed {
		return nil, 0, nil
	}
	size := proxyFixed + int(binary.BigEndian.Uint16(b[14:]))
	if b[12]>>4 != 2 || b[12]&15 > 1 || size > maxProxyHeader {
		return nil, 0, errProxy
	}
	if len(b) < size {
		return nil, 0, nil
	}
	if b[12]&15 == 0 { // LOCAL: the proxy speaks for itself
		return nil, size, nil
	}
	addr, err := proxyAddress(b[13], b[proxyFixed:size])
	return addr, size, err
}

// proxyAddress reads the source address.
func proxyAddress(family byte, b []byte) (net.Addr, error) {
	switch {
	case family == 0x11 && len(b) >= 12: // TCP over IPv4
		return &net.TCPAddr{IP: net.IP(b[:4:4]).To16(), Port: int(binary.BigEndian.Uint16(b[8:]))}, nil
	case family == 0x21 && len(b) >= 36: // TCP over IPv6
		ip := append(net.IP(nil), b[:16]...)
		return &net.TCPAddr{IP: ip, Port: int(binary.BigEndian.Uint16(b[32:]))}, nil
	case family == 0x31 && len(b) >= 216: // unix stream
		name := b[:108]
		for i, c := range name {
			if c == 0 {
				name = name[:i]
				break
			}
		}
		return &net.UnixAddr{Name: string(name), Net: "unix"}, nil
	case family == 0: // unspecified: the header says nothing
		return nil, nil
	}
	return nil, errProxy
}
