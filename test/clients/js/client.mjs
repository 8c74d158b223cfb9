// One MQTT.js client, driven by a JSON object on its command line: see client
// in scripts_test.go. A subscriber prints a line for each message, with the
// payload in hexadecimal, until its input is closed.
import mqtt from 'mqtt'

const job = JSON.parse(process.argv[2])
const options = {
  clientId: job.id,
  protocolVersion: job.version,
  clean: job.clean,
  keepalive: 30,
  reconnectPeriod: 0,
}
if (job.version === 5 && job.expiry) options.properties = { sessionExpiryInterval: job.expiry }
if (job.will) options.will = { topic: job.will.topic, payload: job.will.payload, qos: job.will.qos, retain: job.will.retain }

const fail = (err) => { console.error(err); process.exit(1) }
setTimeout(() => fail('timeout'), 120000).unref()

const client = mqtt.connect(job.url, options)
client.on('error', fail)
client.on('message', (topic, payload, packet) => {
  console.log(`message ${payload.toString('hex')} ${packet.qos} ${packet.retain ? 1 : 0} ${topic}`)
})
client.on('connect', async (connack) => {
  try {
    console.log(`connected ${connack.sessionPresent ? 1 : 0}`)
    for (const m of job.publish ?? []) {
      await client.publishAsync(m.topic, Buffer.from(m.payload, 'hex'), { qos: m.qos, retain: m.retain })
    }
    if (!job.filter) return client.end(false, {}, () => process.exit(0))
    await client.subscribeAsync(job.filter, { qos: job.qos })
    console.log('ready')
  } catch (err) {
    fail(err)
  }
})
process.stdin.resume()
process.stdin.on('end', () => { if (job.filter) client.end(false, {}, () => process.exit(0)) })
