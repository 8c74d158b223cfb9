package clients

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace-mq/millrace/test/wire"
)

// need looks for a command of a Debian package.
func need(t *testing.T, name, command, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(command); err != nil {
		missing(t, name, command+" of the Debian package "+pkg+" is not installed")
	}
}

// output is what a process says on standard error, up to a bound.
type output struct {
	sync.Mutex
	bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.Lock()
	defer o.Unlock()
	if o.Len() < 1<<16 {
		o.Buffer.Write(p)
	}
	return len(p), nil
}

// once runs a command to its end, with lines as its input.
func once(input string, command ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%.300s: %w: %.2000s", strings.Join(command, " "), err, out)
	}
	return nil
}

// follow starts a command and gives each line of its output to hear. It is
// killed when the test ends; stop ends it as a user would, or kills it.
func follow(t *testing.T, r *receiver, end func(*exec.Cmd, io.Closer), hear func(line string), command ...string) {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs output
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	var stopping bool
	go func() { // ends with the process's output
		defer close(ended)
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<22)
		for lines.Scan() {
			hear(lines.Text())
		}
		err := cmd.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		if !stopping {
			r.mu.failed = fmt.Errorf("%.300s ended: %v: %.2000s", strings.Join(command, " "), err, errs.String())
		}
	}()
	r.stop = func(kill bool) {
		r.mu.Lock()
		stopping = true
		r.mu.Unlock()
		if kill {
			cmd.Process.Kill()
		} else {
			end(cmd, in)
		}
		select {
		case <-ended:
		case <-time.After(patience):
			t.Errorf("%s does not end", command[0])
		}
	}
	t.Cleanup(func() {
		r.mu.Lock()
		stopping = true
		r.mu.Unlock()
		cmd.Process.Kill()
		<-ended
	})
}

// interrupt is how the command line clients are told to disconnect.
func interrupt(cmd *exec.Cmd, _ io.Closer) { cmd.Process.Signal(syscall.SIGINT) }

// mosquitto is mosquitto_pub and mosquitto_sub.
type mosquitto struct{}

func (mosquitto) ready(t *testing.T) { need(t, "mosquitto", "mosquitto_sub", "mosquitto-clients") }
func (mosquitto) speaks(byte) bool   { return true }

func (mosquitto) args(j job) []string {
	host, port := port(j.node.TCP)
	args := []string{"-h", host, "-p", port, "-i", j.id, "-V", map[byte]string{wire.V311: "mqttv311", wire.V5: "mqttv5"}[j.version]}
	if w := j.will; w != nil {
		args = append(args, "--will-topic", w.topic, "--will-payload", w.payload, "--will-qos", strconv.Itoa(w.qos))
		if w.retain == 1 {
			args = append(args, "--will-retain")
		}
	}
	return args
}

func (c mosquitto) publish(t *testing.T, j job, all []message) error {
	for _, m := range all {
		args := append([]string{"mosquitto_pub"}, c.args(j)...)
		args = append(args, "-t", m.topic, "-q", strconv.Itoa(m.qos), "-s") // -s: the payload is the input, byte for byte
		if m.payload == "" {
			args[len(args)-1] = "-n"
		}
		if m.retain == 1 {
			args = append(args, "-r")
		}
		if err := once(m.payload, args...); err != nil {
			return err
		}
	}
	return nil
}

func (c mosquitto) subscribe(t *testing.T, j job) *receiver {
	r := &receiver{name: "mosquitto"}
	args := append([]string{"mosquitto_sub"}, c.args(j)...)
	args = append(args, "-t", j.filter, "-q", strconv.Itoa(j.qos), "-F", "%q %r %x. %t")
	if j.keep {
		args = append(args, "-c")
	}
	follow(t, r, interrupt, func(line string) {
		f := strings.SplitN(line, " ", 4)
		if len(f) < 4 {
			return
		}
		qos, _ := strconv.Atoi(f[0])
		retain, _ := strconv.Atoi(f[1])
		r.add(message{payload: unhex(strings.TrimSuffix(f[2], ".")), qos: qos, retain: retain, topic: f[3]})
	}, args...)
	return r
}

// pahoC is one of the two pairs of command line clients of paho for C. They
// tell neither QoS nor retain of a message, and always ask for a clean session.
type pahoC struct{ prefix string }

func (c pahoC) ready(t *testing.T) {
	need(t, map[string]string{"paho_c": "paho-c", "paho_cs": "paho-c-sync"}[c.prefix], c.prefix+"_sub", "paho.mqtt.c-examples")
}
func (pahoC) speaks(byte) bool { return true }

func (c pahoC) args(j job, command string) []string {
	args := []string{c.prefix + command, "-c", "tcp://" + j.node.TCP, "-i", j.id, "-V", map[byte]string{wire.V311: "311", wire.V5: "5"}[j.version]}
	if w := j.will; w != nil {
		args = append(args, "--will-topic", w.topic, "--will-payload", w.payload, "--will-qos", strconv.Itoa(w.qos))
		if w.retain == 1 {
			args = append(args, "--will-retain")
		}
	}
	return args
}

func (c pahoC) publish(t *testing.T, j job, all []message) error {
	for _, m := range all {
		args := append(c.args(j, "_pub"), "-t", m.topic, "-q", strconv.Itoa(m.qos))
		if m.retain == 1 {
			args = append(args, "-r")
		}
		if m.payload == "" {
			args = append(args, "-n")
		} else {
			f, err := os.CreateTemp(t.TempDir(), "payload")
			if err != nil {
				return err
			}
			f.WriteString(m.payload)
			f.Close()
			args = append(args, "-f", f.Name())
		}
		if err := once("", args...); err != nil {
			return err
		}
	}
	return nil
}

func (c pahoC) subscribe(t *testing.T, j job) *receiver {
	r := &receiver{name: c.prefix}
	args := append(c.args(j, "_sub"), "-t", j.filter, "-q", strconv.Itoa(j.qos), "--delimiter", "\n")
	follow(t, r, interrupt, func(line string) {
		for _, news := range []string{"URL is ", "Connecting", "Subscribing to topic "} {
			if strings.HasPrefix(line, news) { // of the client itself
				return
			}
		}
		if _, payload, ok := strings.Cut(line, "\t"); ok { // it prints topics for filters with wildcards
			line = payload
		}
		r.add(message{payload: line, qos: -1, retain: -1})
	}, args...)
	return r
}
