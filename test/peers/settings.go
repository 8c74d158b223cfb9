package peers

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func floor(h *House, _ string, port int) (*exec.Cmd, error) {
	return exec.Command(filepath.Join(h.dir, "floor"), "-listen", fmt.Sprintf("127.0.0.1:%d", port)), nil
}

func millrace(h *House, dir string, port int) (*exec.Cmd, error) {
	exe := h.Binary
	if exe == "" {
		exe = filepath.Join(h.dir, "millrace")
	}
	args := []string{"serve", "--mqtt", fmt.Sprintf("127.0.0.1:%d", port), "--admin", "off", "--data", filepath.Join(dir, "data")}
	c := exec.Command(exe, append(args, h.Args...)...)
	c.Dir = dir
	return c, nil
}

// secureMillrace also listens for TLS and WebSocket; others is told where.
func secureMillrace(h *House, dir string, port int, others map[string]string) (*exec.Cmd, error) {
	if err := certificate(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")); err != nil {
		return nil, err
	}
	for _, kind := range []string{"tls", "ws"} {
		p, err := freePort()
		if err != nil {
			return nil, err
		}
		others[kind] = fmt.Sprintf("127.0.0.1:%d", p)
	}
	conf := fmt.Sprintf(`listeners:
  mqtt:
    type: mqtt
    address: 127.0.0.1:%d
  tls:
    type: mqtts
    address: %s
    tls:
      cert: cert.pem
      key: key.pem
  ws:
    type: ws
    address: %s
`, port, others["tls"], others["ws"])
	if err := os.WriteFile(filepath.Join(dir, "millrace.yaml"), []byte(conf), 0o644); err != nil {
		return nil, err
	}
	c, err := millrace(h, dir, port)
	if err == nil {
		c.Args = append(c.Args, "-c", "millrace.yaml")
	}
	return c, err
}

// mosquitto runs in memory, which is faster for it than its store.
func mosquitto(_ *House, dir string, port int) (*exec.Cmd, error) {
	conf := fmt.Sprintf(`listener %d 127.0.0.1
allow_anonymous true
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 0
persistence false
sys_interval 0
log_type none
`, port)
	file := filepath.Join(dir, "mosquitto.conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	return exec.Command(sbin("mosquitto"), "-c", file), nil
}

func nats(h *House, dir string, port int) (*exec.Cmd, error) {
	return exec.Command(filepath.Join(h.dir, "nats"), "-port", strconv.Itoa(port), "-data", filepath.Join(dir, "data")), nil
}

func mochi(h *House, _ string, port int) (*exec.Cmd, error) {
	return exec.Command(filepath.Join(h.dir, "mochi"), "-listen", fmt.Sprintf("127.0.0.1:%d", port)), nil
}

// rabbitmq keeps everything in the folder that it is given. Its node listens for its own kind on a free port of loopback.
func rabbitmq(_ *House, dir string, port int) (*exec.Cmd, error) {
	dist, err := freePort()
	if err != nil {
		return nil, err
	}
	conf := fmt.Sprintf(`listeners.tcp = none
loopback_users = none
mqtt.listeners.tcp.1 = 127.0.0.1:%d
mqtt.allow_anonymous = true
mqtt.prefetch = 65535
mqtt.tcp_listen_options.nodelay = true
mqtt.tcp_listen_options.backlog = 4096
vm_memory_high_watermark.relative = 0.6
log.file = false
log.console = false
`, port)
	for name, text := range map[string]string{"rabbitmq.conf": conf, "enabled_plugins": "[rabbitmq_mqtt]."} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	c := exec.Command("/usr/lib/rabbitmq/bin/rabbitmq-server")
	in := func(name string) string { return filepath.Join(dir, name) }
	c.Env = append(os.Environ(),
		"HOME="+dir, "ERL_EPMD_ADDRESS=127.0.0.1", "RABBITMQ_NODENAME=peer"+strconv.Itoa(port)+"@localhost", "RABBITMQ_DIST_PORT="+strconv.Itoa(dist),
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
		"RABBITMQ_CONFIG_FILE="+in("rabbitmq"), "RABBITMQ_ENABLED_PLUGINS_FILE="+in("enabled_plugins"),
		"RABBITMQ_MNESIA_BASE="+in("mnesia"), "RABBITMQ_LOG_BASE="+in("logs"), "RABBITMQ_PID_FILE="+in("pid"),
		"RABBITMQ_GENERATED_CONFIG_DIR="+in("generated"),
	)
	return c, nil
}

// rabbitmqPID reads the number of the Erlang machine, which its shell scripts started.
func rabbitmqPID(r *Running) (int, error) {
	var err error
	for range 100 {
		var b []byte
		if b, err = os.ReadFile(filepath.Join(r.dir, "pid")); err == nil && len(b) > 0 {
			return strconv.Atoi(strings.TrimSpace(string(b)))
		}
		time.Sleep(50 * time.Millisecond)
	}
	return 0, err
}

// stopEpmd ends the name service that the first Erlang machine starts. It refuses as long as another machine is registered.
func stopEpmd() {
	_ = exec.Command("epmd", "-kill").Run()
}

// sbin finds a program that Debian keeps out of a user's path.
func sbin(name string) string {
	if exe, err := exec.LookPath(name); err == nil {
		return exe
	}
	return "/usr/sbin/" + name
}

// tree is the version of what is built from this repository.
func tree(h *House) string {
	c := exec.Command("git", "describe", "--always", "--dirty", "--tags")
	c.Dir = h.root
	out, err := c.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// debian asks for the version of a package.
func debian(name string) func(*House) string {
	return func(*House) string {
		out, err := exec.Command("dpkg-query", "-W", "-f", "${Version}", name).Output()
		if err != nil {
			return "not installed"
		}
		return string(out)
	}
}

// module reads the version of a module from the go.mod of the folder that builds it.
func module(path string) func(*House) string {
	return func(h *House) string {
		for _, dir := range []string{"nats", "mochi"} {
			b, err := os.ReadFile(filepath.Join(h.root, "test", "peers", dir, "go.mod"))
			if err != nil {
				continue
			}
			for line := range strings.Lines(string(b)) {
				if _, version, ok := strings.Cut(line, path+" "); ok {
					return strings.TrimSpace(version)
				}
			}
		}
		return "unknown"
	}
}
