//go:build !linux

package netpoll

import (
	"errors"
	"net"
)

// There is only the portable back end here: no connection has a descriptor, so of the functions below only newWaiter is
// ever called.

const (
	defaultBackend = BackendPortable
	maxGather      = 64
)

var errAgain = errors.New("netpoll: would block")

func newWaiter(b Backend) (waiter, error) {
	if b != BackendPortable {
		return nil, errors.ErrUnsupported
	}
	return newSleeper(), nil
}

func (p *Poller) listenEpoll(*Listener) error { return errors.ErrUnsupported }

func (ln *Listener) closeEpoll() {}

func sysRead(int32, []byte) (int, error)      { return 0, errors.ErrUnsupported }
func sysWrite(int32, []byte) (int, error)     { return 0, errors.ErrUnsupported }
func sysWritev(int32, [][]byte) (int, error)  { return 0, errors.ErrUnsupported }
func sysAddress(int32, bool, string) net.Addr { return nil }
func sysWatch(*Conn)                          {}
func sysShut(int32)                           {}
func sysClose(int32)                          {}
