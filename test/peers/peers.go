// Package peers starts Millrace, the floor and the brokers that Millrace is measured against, each at the settings that serve it best:
// small packets sent at once, queues and windows without bounds, logs off. One function per broker says what these are.
//
// Mosquitto and RabbitMQ are Debian packages (scripts/bench-deps installs them); NATS server and mochi are Go modules, built from the
// folders beside this file, which are modules of their own.
package peers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// House builds brokers and starts them from a temporary folder.
type House struct {
	root string // of the repository
	dir  string
	// Binary, when set, is used for Millrace instead of one built from the tree.
	Binary string
	// Args are more arguments for millrace serve.
	Args []string
}

// Running is a broker's process.
type Running struct {
	Addr  string
	Other map[string]string // addresses of other transports, where the broker was started with them: tls, ws
	PID   int               // of the process that does the work
	cmd   *exec.Cmd
	ended chan struct{}
	after func() // cleans up after it, if that is set
	dir   string
}

// peer says how to build and start one broker.
type peer struct {
	build   string // package to build, relative to the root; "" for none
	command func(h *House, dir string, port int) (*exec.Cmd, error)
	version func(h *House) string
	pid     func(r *Running) (int, error) // where it is not the started process itself
	after   func()
}

var all = map[string]peer{
	"floor":     {build: "./test/floor", command: floor, version: tree},
	"millrace":  {build: "./cmd/millrace", command: millrace, version: tree},
	"mosquitto": {command: mosquitto, version: debian("mosquitto")},
	"nats":      {build: "./test/peers/nats", command: nats, version: module("github.com/nats-io/nats-server/v2")},
	"mochi":     {build: "./test/peers/mochi", command: mochi, version: module("github.com/mochi-mqtt/server/v2")},
	"rabbitmq":  {command: rabbitmq, version: debian("rabbitmq-server"), pid: rabbitmqPID, after: stopEpmd},
}

// Root finds the repository from the working directory.
func Root() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	root := filepath.Dir(strings.TrimSpace(string(out)))
	if _, err := os.Stat(filepath.Join(root, "test", "floor")); err != nil {
		return "", errors.New("run this within the repository")
	}
	return root, nil
}

// NewHouse makes the temporary folder; Close removes it.
func NewHouse() (*House, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return nil, err
	}
	return &House{root: root, dir: dir}, nil
}

// Close removes what the house built. Brokers must have been stopped.
func (h *House) Close() { _ = os.RemoveAll(h.dir) }

// Build builds what Start(name) needs.
func (h *House) Build(ctx context.Context, name string) error {
	p, ok := all[name]
	if !ok {
		return fmt.Errorf("unknown broker %q", name)
	}
	if p.build == "" || name == "millrace" && h.Binary != "" {
		return nil
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(h.dir, name), ".")
	cmd.Dir = filepath.Join(h.root, p.build)
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building %s: %w", name, err)
	}
	return nil
}

// Version of a broker, for the records.
func (h *House) Version(name string) string { return all[name].version(h) }

// startTimeout is for the slowest of them, which boots an Erlang machine.
const startTimeout = 60 * time.Second

// StartSecure starts Millrace with listeners for TLS and WebSocket as well.
func (h *House) StartSecure(ctx context.Context) (*Running, error) {
	others := map[string]string{}
	p := all["millrace"]
	p.command = func(h *House, dir string, port int) (*exec.Cmd, error) { return secureMillrace(h, dir, port, others) }
	r, err := h.start(ctx, "millrace", p)
	if err == nil {
		r.Other = others
	}
	return r, err
}

// Start starts a broker on a free port of loopback, with empty stores, and waits until it accepts connections.
func (h *House) Start(ctx context.Context, name string) (*Running, error) {
	return h.start(ctx, name, all[name])
}

func (h *House) start(ctx context.Context, name string, p peer) (*Running, error) {
	dir, err := os.MkdirTemp(h.dir, name)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	r := &Running{Addr: fmt.Sprintf("127.0.0.1:%d", port), dir: dir, ended: make(chan struct{}), after: p.after}
	if r.cmd, err = p.command(h, dir, port); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	r.cmd.Stdout, r.cmd.Stderr = log, log
	ownGroup(r.cmd)
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process
		_ = r.cmd.Wait()
		close(r.ended)
	}()
	if err := r.ready(ctx, p); err != nil {
		text, _ := os.ReadFile(log.Name())
		r.Stop()
		return nil, fmt.Errorf("%s: %w\n%s", name, err, text)
	}
	return r, nil
}

// ready waits until the broker listens and its process is known.
func (r *Running) ready(ctx context.Context, p peer) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		c, err := net.Dial("tcp", r.Addr)
		if err == nil {
			_ = c.Close()
			r.PID = r.cmd.Process.Pid
			if p.pid != nil {
				r.PID, err = p.pid(r)
			}
			return err
		}
		select {
		case <-r.ended:
			return errors.New("ended at once")
		case <-ctx.Done():
			return fmt.Errorf("does not listen: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Stop kills the broker and removes what it stored.
func (r *Running) Stop() {
	if r.PID != 0 && r.PID != r.cmd.Process.Pid {
		if p, err := os.FindProcess(r.PID); err == nil {
			_ = p.Kill()
		}
	}
	killGroup(r.cmd)
	<-r.ended
	if r.after != nil {
		r.after()
	}
	_ = os.RemoveAll(r.dir)
}

// freePort returns one that nobody listens on. Several of these tools may run at a time.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
