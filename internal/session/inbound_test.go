package session

import (
	"slices"
	"testing"

	"github.com/millrace-mq/millrace/mqtt"
)

func TestPublishBeyondLimitsIsRefused(t *testing.T) {
	retained := inbound(0, 0)
	retained.Retain = true
	identified := inbound(0, 0)
	identified.Properties.Has = identified.Properties.Has.With(mqtt.PropSubscriptionID)
	for _, c := range []struct {
		packet *mqtt.Publish
		limit  func(*Limits)
		code   mqtt.ReasonCode
	}{
		{inbound(2, 1), func(l *Limits) { l.MaximumQoS = 1 }, mqtt.QoSNotSupported},        // [MQTT-3.2.2-11]
		{inbound(1, 1), func(l *Limits) { l.MaximumQoS = 0 }, mqtt.QoSNotSupported},        //
		{retained, func(l *Limits) { l.RetainAvailable = false }, mqtt.RetainNotSupported}, // [MQTT-3.2.2-14]
		{identified, func(*Limits) {}, mqtt.ProtocolError},                                 // [MQTT-3.3.4-6]
		{inbound(0, 0, topicAlias(33)), func(*Limits) {}, mqtt.TopicAliasInvalid},          // [MQTT-3.3.2-9]
		{inbound(0, 0, topicAlias(0)), func(*Limits) {}, mqtt.TopicAliasInvalid},           // [MQTT-3.3.2-8]
		{inbound(0, 0, topicAlias(1)), func(l *Limits) { l.TopicAliasMaximum = 0 }, mqtt.TopicAliasInvalid},
	} {
		r := newRig(t)
		c.limit(&r.limits)
		r.connect(connect5(true))
		_, err := r.Publish(c.packet)
		wantCode(t, err, c.code)
	}
}

// 4.3.2, 4.3.3 as a receiver.
func TestPublishIsAnsweredByItsQoS(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(true))
	if in := r.publish(0, 0); in != (Inbound{}) {
		t.Errorf("QoS 0: %+v", in)
	}
	want(t, "QoS 1", r.acknowledge(r.publish(1, 7).Ticket, mqtt.Success), "[PUBACK 7]")
	want(t, "QoS 1, nobody", r.acknowledge(r.publish(1, 7).Ticket, mqtt.NoMatchingSubscribers), "[PUBACK 7 No matching subscribers]")
	want(t, "QoS 2", r.acknowledge(r.publish(2, 7).Ticket, mqtt.Success), "[PUBREC 7]")
	want(t, "PUBREL", r.Pubrel(7), mqtt.Success)
	want(t, "PUBREL again", r.Pubrel(7), mqtt.PacketIdentifierNotFound)
}

// [MQTT-4.3.3-10], [MQTT-4.3.3-12]
func TestQoS2IsTakenOnceUntilReleased(t *testing.T) {
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.connect(kind())
			if in := r.publish(2, 5); in.Duplicate {
				t.Fatal("the first one is a duplicate")
			} else {
				r.acknowledge(in.Ticket, mqtt.Success)
			}
			for range 3 {
				in := r.publish(2, 5) // without DUP
				if !in.Duplicate {
					t.Fatal("taken twice on one connection")
				}
				want(t, "answer", r.acknowledge(in.Ticket, mqtt.Success), "[PUBREC 5]")
			}
			r.reconnect(kind())
			if in := r.publish(2, 5); !in.Duplicate {
				t.Fatal("taken twice over a reconnect")
			}
			want(t, "PUBREL", r.Pubrel(5), mqtt.Success)
			if in := r.publish(2, 5); in.Duplicate {
				t.Error("a new message after PUBREL was taken for the old one")
			}
		})
	}
}

// [MQTT-4.3.3-9]: PUBREC with a failure code frees the identifier.
func TestARefusedQoS2MessageMayComeAgain(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(true))
	in := r.publish(2, 5)
	want(t, "answer", r.acknowledge(in.Ticket, mqtt.QuotaExceeded), "[PUBREC 5 Quota exceeded]")
	if in := r.publish(2, 5); in.Duplicate {
		t.Error("a message that was refused counts as taken")
	}
}

func TestIdentifierInUseIsRefused(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(true))
	r.acknowledge(r.publish(2, 5).Ticket, mqtt.Success)
	in := r.publish(1, 5)
	want(t, "code", in.Refuse, mqtt.PacketIdentifierInUse)
	want(t, "answer", r.acknowledge(in.Ticket, in.Refuse), "[PUBACK 5 Packet Identifier in use]")
	want(t, "the message of QoS 2", r.Pubrel(5), mqtt.Success)
}

// [MQTT-4.6.0-2], [MQTT-4.6.0-3]
func TestAcknowledgementsLeaveInOrderOfArrival(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(true))
	var in [6]Inbound
	for i := range in {
		in[i] = r.publish(byte(1+i%2), uint16(10+i))
	}
	want(t, "third first", r.acknowledge(in[2].Ticket, mqtt.Success), "[]")
	want(t, "second", r.acknowledge(in[1].Ticket, mqtt.QuotaExceeded), "[]")
	want(t, "first", r.acknowledge(in[0].Ticket, mqtt.Success), "[PUBACK 10 PUBREC 11 Quota exceeded PUBACK 12]")
	want(t, "twice", r.acknowledge(in[0].Ticket, mqtt.Success), "[]")
	want(t, "last", r.acknowledge(in[5].Ticket, mqtt.Success), "[]")
	want(t, "fourth", r.acknowledge(in[3].Ticket, mqtt.Success), "[PUBREC 13]")
	want(t, "fifth", r.acknowledge(in[4].Ticket, mqtt.Success), "[PUBACK 14 PUBREC 15]")
}

// A message that is being stored when the connection breaks.
func TestLateAcknowledgements(t *testing.T) {
	r := newRig(t)
	keep := kinds["5.0"]
	r.connect(keep())
	one, two, failed := r.publish(1, 1), r.publish(2, 2), r.publish(2, 3)
	r.reconnect(keep())
	// The client sends all again. QoS 1 is a new message, QoS 2 is not.
	again1, again2, again3 := r.publish(1, 1), r.publish(2, 2), r.publish(2, 3)
	if again1.Duplicate || !again2.Duplicate || !again3.Duplicate {
		t.Fatal("duplicates not told from new messages")
	}
	want(t, "the duplicates themselves", r.acknowledge(again2.Ticket, mqtt.Success), "[]")
	want(t, "the duplicates themselves", r.acknowledge(again3.Ticket, mqtt.Success), "[]")
	want(t, "PUBREL before PUBREC", r.Pubrel(2), mqtt.PacketIdentifierNotFound)
	want(t, "QoS 1 of the old connection", r.acknowledge(one.Ticket, mqtt.Success), "[]")
	want(t, "QoS 2 of the old connection", r.acknowledge(two.Ticket, mqtt.Success), "[]")
	want(t, "QoS 2 that fails", r.acknowledge(failed.Ticket, mqtt.QuotaExceeded), "[]")
	want(t, "QoS 1 again", r.acknowledge(again1.Ticket, mqtt.Success), "[PUBACK 1 PUBREC 2 PUBREC 3 Quota exceeded]")
	want(t, "the stored one", r.Pubrel(2), mqtt.Success)
	if r.publish(2, 3).Duplicate {
		t.Error("the failed one counts as taken")
	}
}

func TestLateAcknowledgementWithoutConnectionIsRemembered(t *testing.T) {
	r := newRig(t)
	keep := kinds["3.1.1"]
	r.connect(keep())
	in := r.publish(2, 2)
	r.Close(r.now, Lost)
	want(t, "nobody to tell", r.acknowledge(in.Ticket, mqtt.Success), "[]")
	r.connect(keep())
	again := r.publish(2, 2)
	if !again.Duplicate {
		t.Fatal("the message was forgotten")
	}
	want(t, "told now", r.acknowledge(again.Ticket, mqtt.Success), "[PUBREC 2]")
}

// A ticket of a session that was discarded does nothing to the one that follows.
func TestTicketsOfADiscardedSessionAreDead(t *testing.T) {
	r := newRig(t)
	r.connect(connect5(false))
	old := r.publish(2, 5)
	old1 := r.publish(1, 6)
	r.reconnect(connect5(true))
	now := r.publish(2, 5)
	if now.Duplicate {
		t.Fatal("the identifier was known in a new session")
	}
	want(t, "old tickets", append(r.acknowledge(old.Ticket, mqtt.Success), r.acknowledge(old1.Ticket, mqtt.Success)...), "[]")
	want(t, "PUBREL", r.Pubrel(5), mqtt.PacketIdentifierNotFound)
	want(t, "the new one", r.acknowledge(now.Ticket, mqtt.Success), "[PUBREC 5]")
}

// 3.3.4, [MQTT-3.3.4-7]
func TestReceiveMaximumOfTheServer(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		r := newRig(t)
		r.limits.ReceiveMaximum = 3
		r.connect(connect5(true))
		var in [3]Inbound
		for i := range in {
			in[i] = r.publish(qos, uint16(i+1))
		}
		_, err := r.Publish(inbound(qos, 4))
		wantCode(t, err, mqtt.ReceiveMaximumExceeded)
		r.publish(0, 0) // is not limited
		r.acknowledge(in[0].Ticket, mqtt.Success)
		if qos == 2 { // only PUBCOMP makes room, or a PUBREC that refuses
			_, err := r.Publish(inbound(qos, 4))
			wantCode(t, err, mqtt.ReceiveMaximumExceeded)
			r.acknowledge(in[1].Ticket, mqtt.QuotaExceeded)
			r.publish(qos, 5)
			_, err = r.Publish(inbound(qos, 6))
			wantCode(t, err, mqtt.ReceiveMaximumExceeded)
			r.Pubrel(1)
		}
		r.publish(qos, 7)
		_, err = r.Publish(inbound(qos, 8))
		wantCode(t, err, mqtt.ReceiveMaximumExceeded)
	}
}

// The identifiers of the last connection do not count, as the client's quota begins anew (4.9).
func TestReceiveMaximumBeginsAnewWithTheConnection(t *testing.T) {
	r := newRig(t)
	r.limits.ReceiveMaximum = 2
	keep := kinds["5.0"]
	r.connect(keep())
	r.acknowledge(r.publish(2, 1).Ticket, mqtt.Success)
	r.acknowledge(r.publish(2, 2).Ticket, mqtt.Success)
	r.reconnect(keep())
	r.acknowledge(r.publish(2, 1).Ticket, mqtt.Success)
	r.acknowledge(r.publish(2, 1).Ticket, mqtt.Success) // the same again takes no more room
	r.publish(1, 3)
	_, err := r.Publish(inbound(1, 4))
	wantCode(t, err, mqtt.ReceiveMaximumExceeded)
}

// Identifiers of an earlier connection that the client releases now give it no more room than it has.
func TestPubrelOfAnEarlierConnectionMakesNoRoom(t *testing.T) {
	r := newRig(t)
	r.limits.ReceiveMaximum = 2
	keep := kinds["5.0"]
	r.connect(keep())
	r.acknowledge(r.publish(2, 1).Ticket, mqtt.Success)
	r.acknowledge(r.publish(2, 2).Ticket, mqtt.Success)
	r.reconnect(keep())
	r.Pubrel(1)
	r.Pubrel(2)
	r.publish(1, 3)
	r.publish(1, 4)
	_, err := r.Publish(inbound(1, 5))
	wantCode(t, err, mqtt.ReceiveMaximumExceeded)
}

func TestIdentifierInUseStillCounts(t *testing.T) {
	r := newRig(t)
	r.limits.ReceiveMaximum = 1
	r.connect(connect5(true))
	r.acknowledge(r.publish(2, 5).Ticket, mqtt.Success)
	_, err := r.Publish(inbound(1, 5))
	wantCode(t, err, mqtt.ReceiveMaximumExceeded)
}

// A refusal that leaves late says nothing of the message that came under its identifier meanwhile.
func TestRefusalBehindOthersLeavesTheNextMessageAlone(t *testing.T) {
	r := newRig(t)
	r.limits.ReceiveMaximum = 3
	r.connect(connect5(true))
	first, refused := r.publish(1, 1), r.publish(2, 5)
	r.acknowledge(refused.Ticket, mqtt.QuotaExceeded)
	r.publish(2, 5)
	want(t, "both leave", r.acknowledge(first.Ticket, mqtt.Success), "[PUBACK 1 PUBREC 5 Quota exceeded]")
	r.publish(1, 2)
	r.publish(1, 3) // the third
	_, err := r.Publish(inbound(1, 4))
	wantCode(t, err, mqtt.ReceiveMaximumExceeded)
}

func TestDuplicateWaitsForWhatItRepeats(t *testing.T) {
	r := newRig(t)
	r.connect(kinds["5.0"]())
	first := r.publish(2, 1)
	r.reconnect(kinds["5.0"]())
	again := r.publish(2, 1)
	want(t, "acknowledged while the first is being stored", r.acknowledge(again.Ticket, mqtt.Success), "[]")
	want(t, "once it is stored", r.acknowledge(first.Ticket, mqtt.Success), "[PUBREC 1]")
}

// A client that repeats one identifier while its message is being stored fills nothing without end.
func TestDuplicatesCountAgainstReceiveMaximum(t *testing.T) {
	r := newRig(t)
	r.limits.ReceiveMaximum = 4
	r.connect(connect5(true))
	first := r.publish(2, 9)
	for range 3 {
		r.acknowledge(r.publish(2, 9).Ticket, mqtt.Success)
	}
	_, err := r.Publish(inbound(2, 9))
	wantCode(t, err, mqtt.ReceiveMaximumExceeded)
	want(t, "all at once", r.acknowledge(first.Ticket, mqtt.Success), "[PUBREC 9 PUBREC 9 PUBREC 9 PUBREC 9]")
}

// 3.1.1 has no Receive Maximum; 65,535 messages are what it can name.
func TestOldClientsAreBoundedByTheirIdentifiers(t *testing.T) {
	r := newRig(t)
	r.limits.ReceiveMaximum = 2
	r.connect(connect4(true))
	for i := range maxPacketID {
		r.publish(1, uint16(i+1))
	}
	_, err := r.Publish(inbound(1, 1))
	wantCode(t, err, mqtt.ReceiveMaximumExceeded)
}

// FAULTS: the same QoS 2 identifier, and never a PUBREL.
func TestQoS2WithoutPubrelStaysSmall(t *testing.T) {
	r := newRig(t)
	r.connect(connect4(true))
	for range 100_000 {
		r.acknowledge(r.publish(2, 77).Ticket, mqtt.Success)
	}
	if n := len(r.in.ring) + len(r.in.ids.table); n > 16 {
		t.Errorf("%d places for one identifier", n)
	}
}

// 3.1.1 cannot say no: neither the refused message nor those behind it are acknowledged.
func TestRefusalEndsAnOldConnection(t *testing.T) {
	for _, qos := range []byte{1, 2} {
		r := newRig(t)
		r.connect(kinds["3.1.1"]())
		first, second := r.publish(qos, 1), r.publish(qos, 2)
		var e emitted
		wantCode(t, r.Acknowledge(first.Ticket, Answer{Code: mqtt.QuotaExceeded}, e.emit), mqtt.QuotaExceeded)
		if err := r.Acknowledge(second.Ticket, Answer{}, e.emit); err != nil || len(e) > 0 {
			t.Errorf("after a refusal: %v %v", e, err)
		}
		r.reconnect(kinds["3.1.1"]())
		if r.publish(qos, 1).Duplicate {
			t.Error("the refused message counts as taken")
		}
		if r.publish(qos, 2).Duplicate != (qos == 2) {
			t.Error("the stored message: taken again, or refused at QoS 1")
		}
	}
}

// What the owner noted with an answer comes back with the acknowledgement, also when others had to leave before.
func TestNotesLeaveWithTheirAcknowledgements(t *testing.T) {
	r := newRig(t)
	r.connect(kinds["5.0"]())
	first, second, third := r.publish(1, 1), r.publish(2, 2), r.publish(1, 3)
	var e emitted
	for _, x := range []struct {
		t Ticket
		v Answer
	}{{third.Ticket, Answer{Note: 33}}, {second.Ticket, Answer{Note: 22}}, {first.Ticket, Answer{Code: mqtt.QuotaExceeded, Note: 11}}} {
		if err := r.Acknowledge(x.t, x.v, e.emit); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"PUBACK 1 Quota exceeded note 11", "PUBREC 2 note 22", "PUBACK 3 note 33"}
	if !slices.Equal(e, want) {
		t.Errorf("got %q, want %q", e, want)
	}
}

func TestIdentifierSetAgainstAMap(t *testing.T) {
	var set idset
	model := map[uint16]idFlags{}
	for step := range uint32(200_000) {
		// Up to 700 identifiers at a time, then few, then many again; in runs, as clients count.
		id := uint16(step*2_654_435_761>>20%(50+step/40%700)) + uint16(step/30_000*9_973)
		id = max(id, 1) // 0 is no identifier
		if step*40_503>>9%3 > 0 {
			f := idFlags(step >> 3 & 3)
			set.set(id, f)
			model[id] = f
		} else {
			set.remove(id)
			delete(model, id)
		}
		f, ok := set.get(id)
		if m, has := model[id]; ok != has || f != m || set.n != len(model) {
			t.Fatalf("step %d: %v %v, want %v %v; %d of %d", step, f, ok, m, has, set.n, len(model))
		}
		if step%1000 == 0 {
			n := 0
			set.each(func(id uint16, f idFlags) {
				if m, has := model[id]; !has || m != f {
					t.Fatalf("%d has the flags %v, want %v", id, f, m)
				}
				n++
			})
			for id, m := range model {
				if f, ok := set.get(id); !ok || f != m {
					t.Fatalf("%d is not found", id)
				}
			}
			if n != len(model) {
				t.Fatalf("each gives %d of %d", n, len(model))
			}
		}
	}
	for id := range model {
		set.remove(id)
	}
	if set.table != nil {
		t.Errorf("an empty set keeps %d places", len(set.table))
	}
}

func TestPublisherCostsNoAllocation(t *testing.T) {
	for name, kind := range kinds {
		r := newRig(t)
		r.connect(kind())
		one, two := inbound(1, 1), inbound(2, 2)
		emit := func(mqtt.Type, uint16, Answer) {}
		if n := testing.AllocsPerRun(1000, func() {
			in, _ := r.Publish(one)
			r.Acknowledge(in.Ticket, Answer{}, emit)
			in, _ = r.Publish(two)
			r.Acknowledge(in.Ticket, Answer{}, emit)
			r.Pubrel(2)
		}); n != 0 {
			t.Errorf("%s: %v allocations for a PUBLISH of QoS 1 and one of QoS 2", name, n)
		}
	}
}

// Nothing of a publisher stays when it has gone and nothing is open.
func TestInflowGoesWithTheConnection(t *testing.T) {
	r := newRig(t)
	r.connect(kinds["5.0"]())
	r.acknowledge(r.publish(2, 2).Ticket, mqtt.Success)
	r.Close(r.now, Lost)
	if r.in == nil {
		t.Fatal("an open identifier was forgotten")
	}
	r.connect(kinds["5.0"]())
	r.Pubrel(2)
	late := r.publish(1, 1)
	r.Close(r.now, Lost)
	if r.in != nil {
		t.Error("tables of a client that left nothing behind")
	}
	r.connect(kinds["5.0"]())
	r.publish(1, 9)
	want(t, "a ticket from before", r.acknowledge(late.Ticket, mqtt.Success), "[]")
}
