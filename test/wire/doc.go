// Package wire is the tests' own MQTT client: it writes exact bytes and reads
// whole packets, over TCP and over WebSocket.
//
// It shares nothing with package mqtt or with the server: it is a second
// reading of the two specifications, so that a mistake in the codec shows as a
// disagreement instead of cancelling itself out. It is made for tests only:
// nothing is fast, every read has a deadline, and every failure ends the test
// with a transcript of what was sent and received on that connection.
package wire
