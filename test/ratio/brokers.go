package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace-mq/millrace/internal/bench"
)

// house starts brokers from a directory of its own.
type house struct {
	options
	dir  string
	port int
}

func newHouse(ctx context.Context, o options) (*house, error) {
	dir, err := os.MkdirTemp("", "ratio")
	if err != nil {
		return nil, err
	}
	h := &house{options: o, dir: dir}
	for _, name := range o.brokers {
		var pkg string
		switch {
		case name == "floor":
			pkg = "github.com/millrace-mq/millrace/test/floor"
		case name == "millrace" && o.millrace == "":
			pkg = "github.com/millrace-mq/millrace/cmd/millrace"
		default:
			continue
		}
		b := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, name), pkg)
		b.Stderr = os.Stderr
		if err := b.Run(); err != nil {
			h.close()
			return nil, fmt.Errorf("building %s: %w", name, err)
		}
	}
	return h, nil
}

func (h *house) close() { _ = os.RemoveAll(h.dir) }

// Mosquitto at its best: no small packets kept back, no bound on queues, nothing logged.
const mosquittoConf = `listener %d 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 0
persistence false
sys_interval 0
log_type none
`

// command of a broker that listens on 127.0.0.1 and the port.
func (h *house) command(name string, run string) (*exec.Cmd, error) {
	addr := fmt.Sprintf("127.0.0.1:%d", h.port)
	switch name {
	case "floor":
		return exec.Command(filepath.Join(h.dir, "floor"), "-listen", addr), nil
	case "mosquitto":
		exe, err := exec.LookPath("mosquitto")
		if err != nil {
			exe = "/usr/sbin/mosquitto"
		}
		conf := filepath.Join(run, "mosquitto.conf")
		if err := os.WriteFile(conf, fmt.Appendf(nil, mosquittoConf, h.port), 0o644); err != nil {
			return nil, err
		}
		return exec.Command(exe, "-c", conf), nil
	case "millrace":
		exe := h.millrace
		if exe == "" {
			exe = filepath.Join(h.dir, "millrace")
		}
		c := exec.Command(exe, append([]string{"serve", "--mqtt", addr, "--admin", "off", "--data", run}, strings.Fields(h.args)...)...)
		c.Dir = run
		return c, nil
	}
	return nil, fmt.Errorf("unknown broker %q", name)
}

// measure runs one workload against a fresh process of one broker.
func (h *house) measure(ctx context.Context, name string, w workload) (*bench.Result, error) {
	run, err := os.MkdirTemp(h.dir, name)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(run)
	if h.port, err = freePort(); err != nil {
		return nil, err
	}
	cmd, err := h.command(name, run)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(run, "log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // ends with the process
	defer func() {
		_ = cmd.Process.Kill()
		<-ended
	}()
	if err := h.listening(ended); err != nil {
		text, _ := os.ReadFile(log.Name())
		ended <- err
		return nil, fmt.Errorf("%w\n%s", err, text)
	}
	target, err := bench.ParseTarget(fmt.Sprintf("127.0.0.1:%d", h.port))
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return bench.Run(ctx, bench.Options{
		Scenario: w.scenario, Target: target, PIDs: []int{cmd.Process.Pid}, Label: name, Command: []string{self, "worker"},
	})
}

// freePort returns one that nobody listens on. Several of these tools may run at a time.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// listening waits until the broker accepts connections.
func (h *house) listening(ended <-chan error) error {
	var err error
	for range 100 {
		select {
		case err := <-ended:
			return fmt.Errorf("the broker ended: %w", err)
		default:
		}
		var c net.Conn
		if c, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", h.port)); err == nil {
			return c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	return err
}
