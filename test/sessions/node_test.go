package sessions

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/millrace-mq/millrace"
)

// childDir names the folder of the node that this process is to be, in the environment.
const childDir = "MILLRACE_TEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		beNode(dir)
		return
	}
	os.Exit(m.Run())
}

// beNode runs a node until the process is killed, or its standard input is closed because the parent is gone.
func beNode(dir string) {
	cfg := millrace.Defaults()
	cfg.Admin.Address = ""
	cfg.Node.DataDir = dir
	cfg.Limits.MaxQueuedMessages = 1 << 20
	l := cfg.Listeners["mqtt"]
	l.Address = "127.0.0.1:0"
	cfg.Listeners["mqtt"] = l
	var level slog.Level
	if level.UnmarshalText([]byte(os.Getenv("MILLRACE_TEST_LOG"))) != nil {
		level = slog.LevelError
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	node, err := millrace.Start(context.Background(), cfg, log)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start:", err)
		os.Exit(1)
	}
	fmt.Println("ready", node.Addr("mqtt"))
	go func() { // ends with the process
		<-node.Failed()
		fmt.Fprintln(os.Stderr, "failed:", node.Err())
		os.Exit(2)
	}()
	line, _ := bufio.NewReader(os.Stdin).ReadString('\n')
	if line == "stop\n" {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := node.Stop(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "stop:", err)
			os.Exit(3)
		}
	}
}

// node is a node in a process of its own, which can be killed and started again.
type node struct {
	t    *testing.T
	dir  string
	addr string
	cmd  *exec.Cmd
	in   io.WriteCloser
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir()}
	n.start()
	t.Cleanup(func() {
		if n.cmd != nil {
			n.kill()
		}
	})
	return n
}

func (n *node) start() {
	n.t.Helper()
	n.cmd = exec.Command(os.Args[0])
	n.cmd.Env = append(os.Environ(), childDir+"="+n.dir)
	n.cmd.Stderr = os.Stderr
	out, err := n.cmd.StdoutPipe()
	if err == nil {
		n.in, err = n.cmd.StdinPipe()
	}
	if err == nil {
		err = n.cmd.Start()
	}
	if err != nil {
		n.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	addr, ok := strings.CutPrefix(strings.TrimSpace(line), "ready ")
	if err != nil || !ok {
		n.kill()
		n.t.Fatalf("the node did not start: %q, %v", line, err)
	}
	n.addr = addr
}

// kill ends the process as a power switch would, but for the disk.
func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
	n.cmd = nil
}

// stop ends it in order.
func (n *node) stop() {
	n.t.Helper()
	fmt.Fprintln(n.in, "stop")
	if err := n.cmd.Wait(); err != nil {
		n.t.Fatal("stop:", err)
	}
	n.cmd = nil
}

// patience is how long a test waits for what must come.
const patience = 30 * time.Second
