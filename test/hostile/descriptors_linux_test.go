package hostile

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/test/target"
	"github.com/millrace-mq/millrace/test/wire"
)

// child makes this test binary a node that may have few descriptors.
const child = "MILLRACE_TEST_FEW_DESCRIPTORS"

// A node without descriptors serves those it has, closes or holds back the
// others, and accepts again when there is room.
func TestNoDescriptorsLeft(t *testing.T) {
	if backend := os.Getenv(child); backend != "" {
		fewDescriptors(t, backend)
		return
	}
	for _, backend := range target.Backends() {
		t.Run(backend, func(t *testing.T) {
			if backend == "external" {
				t.Skip("needs a node with its own settings")
			}
			h := &hub{T: t, node: few(t, backend), backend: backend, number: counter.Add(1)}
			h.witnessed(func(h *hub) {
				var all []net.Conn
				for range 300 {
					nc, err := net.DialTimeout("tcp", h.node.TCP, wire.Patience)
					if err != nil {
						break
					}
					defer nc.Close()
					all = append(all, nc)
					nc.Write(wire.Connect{Version: wire.V311, ClientID: h.id(fmt.Sprint(len(all))), Clean: true}.Bytes())
				}
				time.Sleep(time.Second) // the witness goes on meanwhile
				for _, nc := range all {
					nc.Close()
				}
				deadline := time.Now().Add(wire.Patience)
				for served := 0; served < 20; { // when it has seen that there is room again
					c := h.dial(wire.V5, "after")
					c.TryWrite(wire.Connect{Version: wire.V5, ClientID: h.id("after"), Clean: true}.Bytes())
					if p, err := c.Answer(); err == nil && p.Type == wire.CONNACK && p.Code == 0 {
						served++
						c.Leave()
					} else if time.Now().After(deadline) {
						h.Fatalf("the server does not recover: %v, %v", p, err)
					}
				}
			})
		})
	}
}

// few starts the child and reads its address.
func few(t *testing.T, backend string) *target.Node {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestNoDescriptorsLeft$", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), child+"="+backend)
	in, _ := cmd.StdinPipe()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close() // the child ends when its input does
		cmd.Wait()
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening "); ok {
			go func() { // ends with the child's output
				for lines.Scan() {
				}
			}()
			return &target.Node{TCP: addr}
		}
	}
	t.Fatal("the child did not start")
	return nil
}

func fewDescriptors(t *testing.T, backend string) {
	n := target.Start(t, backend)
	limit := syscall.Rlimit{Cur: uint64(descriptors() + 30), Max: uint64(descriptors() + 30)}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	fmt.Println("listening", n.TCP)
	os.Stdin.Read(make([]byte, 1))
}
