package sessions

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Messages wait on the disk for a session that is away, subscriptions are there again, and what was taken back stays away.
func TestSessionsOutliveTheProcess(t *testing.T) {
	for _, how := range []string{"killed", "stopped"} {
		t.Run(how, func(t *testing.T) {
			n := newNode(t)
			a, b, pub := newPeer(t, "a"), newPeer(t, "b"), newPeer(t, "pub")
			for _, p := range []*peer{a, b} {
				p.mustConnect(n.addr, true, false)
				p.subscribe("t/#", 2)
				p.subscribe("$share/g/s/#", 1)
			}
			b.unsubscribe("t/#")
			pub.mustConnect(n.addr, true, false)
			for _, p := range []*peer{a, b} {
				p.drop()
			}
			for i := range 10 {
				pub.send("t/x", fmt.Sprint(i), byte(2-i/5), false, nil)
				if i == 4 {
					pub.settle() // order is promised within a quality of service
				}
			}
			pub.send("s/x", "shared", 1, false, nil)
			pub.send("keep/1", "old", 1, true, nil)
			pub.send("keep/1", "new", 1, true, nil)
			pub.send("keep/2", "gone", 1, true, nil)
			pub.send("keep/2", "", 1, true, nil)
			pub.settle()
			if how == "killed" {
				n.kill()
			} else {
				n.stop()
			}
			n.start()
			pub.drop()
			pub.mustConnect(n.addr, false, true)
			for _, p := range []*peer{a, b} {
				p.mustConnect(n.addr, false, true)
			}
			a.subscribe("keep/#", 1)
			pub.send("t/x", "end", 2, false, nil)
			pub.send("s/x", "end", 1, false, nil)
			a.await("t/x end")
			pub.settle()
			if got, want := a.texts("t/x"), "0 1 2 3 4 5 6 7 8 9 end"; got != want {
				t.Errorf("a got %s, want %s", got, want)
			}
			if got := b.texts("t/x"); got != "" {
				t.Errorf("b has no such subscription any more, and got %s", got)
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			if got := fmt.Sprint(a.retained); got != "map[keep/1:new]" {
				t.Errorf("retained: %s", got)
			}
		})
	}
}

// texts are the payloads that came on a topic.
func (p *peer) texts(topic string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []string
	for _, text := range p.got {
		if rest, ok := strings.CutPrefix(text, topic+" "); ok {
			list = append(list, rest)
		}
	}
	return strings.Join(list, " ")
}

// A session ends at its time although the node was away, and one that is begun anew is not the old one after a restart.
func TestExpiryGoesOnAcrossARestart(t *testing.T) {
	n := newNode(t)
	short, long, anew := newPeer(t, "short"), newPeer(t, "long"), newPeer(t, "anew")
	short.expiry = 1
	for _, p := range []*peer{short, long, anew} {
		p.mustConnect(n.addr, true, false)
		p.subscribe("t", 1)
	}
	for _, p := range []*peer{short, long, anew} {
		p.drop()
	}
	anew.mustConnect(n.addr, true, false)
	anew.drop()
	pub := newPeer(t, "pub")
	pub.mustConnect(n.addr, true, false)
	pub.send("t", "x", 1, false, nil)
	pub.settle()
	n.kill()
	time.Sleep(1100 * time.Millisecond)
	n.start()
	short.mustConnect(n.addr, false, false)
	anew.mustConnect(n.addr, false, true)
	long.mustConnect(n.addr, false, true)
	long.await("t x")
	if got := anew.texts("t") + short.texts("t"); got != "" {
		t.Errorf("a subscription came back: %s", got)
	}
}

// What a client has not acknowledged is sent again under its identifier, and marked; what it has is not.
func TestFlightGoesOnAfterAKill(t *testing.T) {
	n := newNode(t)
	sub, pub := newPeer(t, "sub"), newPeer(t, "pub")
	sub.mustConnect(n.addr, true, false)
	sub.subscribe("t", 2)
	pub.mustConnect(n.addr, true, false)
	sub.mu.Lock()
	sub.mute = true
	sub.mu.Unlock()
	pub.send("t", "one", 1, false, nil)
	pub.send("t", "two", 2, false, nil)
	sub.await("t two")
	pub.settle()
	n.kill()
	sub.drop()
	sub.mute = false
	n.start()
	sub.mustConnect(n.addr, false, true)
	pub.drop()
	pub.mustConnect(n.addr, false, true)
	pub.send("t", "end", 1, false, nil)
	sub.await("t end")
	if got := sub.texts("t"); got != "one two one end" {
		t.Errorf("got %s", got)
	}
	if sub.dups != 2 {
		t.Errorf("%d marked as sent again, want 2", sub.dups)
	}
}

// A will waits for its time across a restart.
func TestWillOfAKilledConnection(t *testing.T) {
	n := newNode(t)
	sub := newPeer(t, "sub")
	sub.mustConnect(n.addr, true, false)
	sub.subscribe("w", 1)
	ill := newPeer(t, "ill")
	ill.will = "farewell"
	ill.mustConnect(n.addr, true, false)
	ill.subscribe("x", 1) // is on disk, and so is what was stored before
	n.kill()
	sub.drop()
	n.start()
	sub.mustConnect(n.addr, false, true)
	sub.await("w farewell")
}

// Nobody but the owner can read what is on disk.
func TestFilesAreTheOwners(t *testing.T) {
	n := newNode(t)
	p := newPeer(t, "p")
	p.mustConnect(n.addr, true, false)
	p.subscribe("t", 1)
	p.send("t", "x", 1, true, nil)
	p.settle()
	n.stop()
	files := 0
	err := filepath.Walk(n.dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || path == n.dir {
			return err
		}
		files++
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v", path, info.Mode())
		}
		return nil
	})
	if err != nil || files < 4 {
		t.Errorf("%d files, %v", files, err)
	}
}
