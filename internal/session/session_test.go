package session

import (
	"testing"
	"unsafe"
)

// A million idle clients have a million sessions.
func TestIdleSessionIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Session{}); n > 128 {
		t.Errorf("an idle session is %d bytes, more than 128", n)
	}
	if n := unsafe.Sizeof(Subscription{}); n > 64 {
		t.Errorf("a subscription is %d bytes, more than 64", n)
	}
}
