package bench

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Use is what the broker's processes used at one moment.
type Use struct {
	CPU     time.Duration `json:"cpu"` // so far
	RSS     int64         `json:"rss"` // resident bytes
	Threads int           `json:"threads"`
	Files   int           `json:"-"`
	Gone    bool          `json:"gone,omitempty"` // a process is not there any more
}

// processUse sums over processes.
func processUse(pids []int) *Use {
	var u Use
	for _, pid := range pids {
		cpu, err := processCPU(pid)
		if err != nil {
			u.Gone = true
			continue
		}
		u.CPU += cpu
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			u.Gone = true
			continue
		}
		if bytes.Contains(status, []byte("\nState:\tZ")) {
			u.Gone = true
		}
		u.RSS += statusField(status, "VmRSS:") << 10
		u.Threads += int(statusField(status, "Threads:"))
	}
	return &u
}

// statusField reads a number of /proc/PID/status.
func statusField(status []byte, name string) int64 {
	_, rest, ok := bytes.Cut(status, []byte("\n"+name))
	if !ok {
		return 0
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	f := bytes.Fields(line)
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(string(f[0]), 10, 64)
	return n
}
