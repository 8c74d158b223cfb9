package netpoll

import (
	"fmt"
	"net"
	"os"
	"time"
)

// removeStale removes the socket of a server that is gone. A path that is no socket, or at which someone answers, stays.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is no socket", path)
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return fmt.Errorf("another server listens on %s", path)
	}
	return os.Remove(path)
}

// openPortable opens a listening socket of the standard library.
func openPortable(cfg ListenConfig) (net.Listener, error) {
	if cfg.Network != "unix" {
		return net.Listen(cfg.Network, cfg.Address)
	}
	if err := removeStale(cfg.Address); err != nil {
		return nil, err
	}
	ln, err := net.Listen("unix", cfg.Address)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(cfg.Address, cfg.UnixMode); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}
