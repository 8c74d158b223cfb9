"""One paho client, driven by a JSON object on its command line: see client in
scripts_test.go. A subscriber prints a line for each message, with the payload
in hexadecimal, until its input is closed."""
import json
import os
import sys
import threading
import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

job = json.loads(sys.argv[1])
v5 = job["version"] == 5
options = {} if v5 else {"clean_session": job["clean"]}
transport = "websockets" if job["url"].startswith("ws") else "tcp"
args = dict(client_id=job["id"], protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311, transport=transport, **options)
if hasattr(mqtt, "CallbackAPIVersion"):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION1, **args)
else:
    client = mqtt.Client(**args)
if transport == "websockets":
    client.ws_set_options(path="/mqtt")
if job.get("will"):
    w = job["will"]
    client.will_set(w["topic"], w["payload"], qos=w["qos"], retain=w["retain"])
connected = threading.Event()
out = threading.Lock()


def say(line):
    with out:
        print(line, flush=True)


def on_connect(client, userdata, flags, rc, properties=None):
    if rc != 0:
        say("refused %s" % rc)
        os._exit(1)
    say("connected %d" % flags["session present"])
    if job.get("filter"):
        client.subscribe(job["filter"], qos=job["qos"])
    connected.set()


def on_message(client, userdata, m):
    say("message %s %d %d %s" % (m.payload.hex(), m.qos, m.retain, m.topic))


client.on_connect = on_connect
client.on_message = on_message
client.on_subscribe = lambda *args: say("ready")
more = {}
if v5:
    p = Properties(PacketTypes.CONNECT)
    p.SessionExpiryInterval = job.get("expiry", 0)
    more = {"clean_start": job["clean"], "properties": p}
client.connect(job["host"], job["port"], keepalive=30, **more)
client.loop_start()
if not connected.wait(60):
    sys.exit("no CONNACK")
for m in job.get("publish") or []:
    info = client.publish(m["topic"], bytes.fromhex(m["payload"]), qos=m["qos"], retain=m["retain"])
    end = time.time() + 60
    while not info.is_published():
        if time.time() > end:
            sys.exit("not acknowledged: %s" % m)
        time.sleep(0.001)
if job.get("filter"):
    sys.stdin.read()
client.disconnect()
client.loop_stop()
