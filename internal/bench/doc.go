// Package bench drives load at any MQTT broker and says what came of it.
//
// A [Scenario] is data: how many publishers and subscribers, what they send, how fast. It becomes one [Plan] per worker, and
// each worker is an event loop on one thread that holds up to as many clients as the process may have descriptors. The
// coordinator ([Run]) starts the workers, takes them through the stages of the plan together, watches the broker's process when it
// is told its number, and merges everything into one [Result].
//
// What is measured, and how:
//
//   - Latency counts from the moment a message was due, not from when it could be written, so that a broker that stalls is seen to
//     stall (no coordinated omission). Where a window is kept instead of a rate, a message is due when the window opens for it.
//   - Every message carries its publisher and its number. Every subscriber checks that each number arrives once, in order, with
//     the right bytes; what never arrives is lost. A figure of a run that failed the check is marked as such.
//   - The broker's cost is its process CPU time between two moments, divided by what was delivered between them. It hardly
//     depends on what else the machine does, unlike rates.
//
// The loop needs Linux; elsewhere the package compiles, reads and compares results, and refuses to run.
package bench
