package netpoll

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// WebSocket says how connections become WebSocket ones (RFC 6455, section 4.2; MQTT 5.0, section 6).
type WebSocket struct {
	// Path is what a request must ask for; "" means /mqtt.
	Path string
	// Origins are the values of Origin that are allowed, such as https://app.example.org. Empty, or with "*" among them: any.
	// Requests without one, which do not come from browsers, are always allowed.
	Origins []string
	// MaxFrame bounds the length of a frame, in bytes; 0 means 256 MiB and a little, as long as an MQTT packet can be.
	// Frames are not held in memory; the bound refuses nonsense early.
	MaxFrame int64
}

const (
	maxRequest      = 8 << 10
	defaultMaxFrame = 256<<20 + 1<<10
	acceptSuffix    = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455, section 1.3
	subprotocol     = "mqtt"                                 // [MQTT-6.0.0-3], [MQTT-6.0.0-4]
)

// upgrade waits for the request.
type upgrade struct {
	preliminary
	cfg *WebSocket
}

func (u *upgrade) Data(t *Turn, b []byte) (int, error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	switch {
	case end < 0 && len(b) < maxRequest:
		return 0, nil
	case end < 0 || end > maxRequest:
		return 0, u.refuse(t, http.StatusRequestHeaderFieldsTooLarge, "the request is too long")
	case end+4 < len(b): // frames may follow only the answer
		return 0, u.refuse(t, http.StatusBadRequest, "something follows the request")
	}
	req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(b)))
	if err != nil {
		return 0, u.refuse(t, http.StatusBadRequest, "no valid HTTP request")
	}
	if status, reason := u.cfg.check(req); status != 0 {
		return 0, u.refuse(t, status, reason)
	}
	sum := sha1.Sum([]byte(req.Header.Get("Sec-WebSocket-Key") + acceptSuffix))
	u.c.sendRaw(t, fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]), subprotocol))
	limit := u.cfg.MaxFrame
	if limit <= 0 {
		limit = defaultMaxFrame
	}
	u.c.extend().ws = &wsLayer{limit: uint64(limit)}
	t.loop.proceed(u.c, stepUpgraded)
	return len(b), nil
}

// refuse answers a request that is not granted.
func (u *upgrade) refuse(t *Turn, status int, reason string) error {
	version := ""
	if status == http.StatusUpgradeRequired {
		version = "Sec-WebSocket-Version: 13\r\nUpgrade: websocket\r\n"
	}
	u.c.sendRaw(t, fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n%sConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: %d\r\n\r\n%s\n",
		status, http.StatusText(status), version, len(reason)+1, reason))
	return errors.New("netpoll: websocket: " + reason)
}

// check returns why a request is not granted; 0 if it is.
func (w *WebSocket) check(req *http.Request) (status int, reason string) {
	path := w.Path
	if path == "" {
		path = "/mqtt"
	}
	h := req.Header
	key, err := base64.StdEncoding.DecodeString(h.Get("Sec-WebSocket-Key"))
	switch {
	case req.URL.Path != path:
		return http.StatusNotFound, "MQTT is served at " + path
	case req.Method != http.MethodGet || !req.ProtoAtLeast(1, 1):
		return http.StatusMethodNotAllowed, "a WebSocket begins with GET and HTTP/1.1"
	case req.ContentLength != 0 || len(req.TransferEncoding) > 0:
		return http.StatusBadRequest, "the request has a body"
	case !listed(h["Upgrade"], "websocket") || !listed(h["Connection"], "upgrade") || h.Get("Sec-Websocket-Version") != "13":
		return http.StatusUpgradeRequired, "this is a WebSocket of version 13"
	case err != nil || len(key) != 16:
		return http.StatusBadRequest, "Sec-WebSocket-Key is not valid"
	case !listed(h["Sec-Websocket-Protocol"], subprotocol):
		return http.StatusBadRequest, "the subprotocol mqtt is not offered"
	case !w.allowed(h["Origin"]):
		return http.StatusForbidden, "the origin is not allowed"
	}
	return 0, ""
}

// allowed reports whether a request with these Origin headers may connect.
func (w *WebSocket) allowed(origins []string) bool {
	if len(origins) == 0 || len(w.Origins) == 0 {
		return true
	}
	for _, o := range w.Origins {
		if o == "*" || len(origins) == 1 && strings.EqualFold(o, origins[0]) {
			return true
		}
	}
	return false
}

// listed reports whether a header that is a comma-separated list has the token.
func listed(values []string, token string) bool {
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}
