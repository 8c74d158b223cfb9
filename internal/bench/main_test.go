//go:build linux

package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var floorBinary string

// TestMain is also the program of the workers, and builds the broker that most tests run against: test/floor, which does nothing but
// copy.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "worker" {
		if err := Work(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		panic(err)
	}
	floorBinary = filepath.Join(dir, "floor")
	if out, err := exec.Command("go", "build", "-o", floorBinary, "../../test/floor").CombinedOutput(); err != nil {
		panic(string(out))
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// freeAddr returns an address that nobody listens on.
func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startBroker starts a program that listens on addr and ends it with the test.
func startBroker(t testing.TB, addr, exe string, args ...string) int {
	t.Helper()
	cmd := exec.Command(exe, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 200 {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return cmd.Process.Pid
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s does not listen on %s", exe, addr)
	return 0
}

func startFloor(t *testing.T) (addr string, pid int) {
	t.Helper()
	addr = freeAddr(t)
	return addr, startBroker(t, addr, floorBinary, "-listen", addr)
}

func mustRun(t testing.TB, addr string, s Scenario, change ...func(*Options)) *Result {
	t.Helper()
	target, err := ParseTarget(addr)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name == "" {
		s.Name = t.Name()
	}
	o := Options{Scenario: s, Target: target, Command: []string{os.Args[0], "worker"}}
	for _, c := range change {
		c(&o)
	}
	r, err := Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantClean(t *testing.T, r *Result) {
	t.Helper()
	if len(r.Problems) > 0 {
		t.Errorf("problems: %q", r.Problems)
	}
	if !r.Check.Clean() || r.Check.Expected == 0 || r.Check.Received != r.Check.Expected {
		t.Errorf("check: %+v", r.Check)
	}
}
