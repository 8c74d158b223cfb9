// Package durable proves what docs/queues.md promises, with clients over real sockets: each row of it for MQTT 3.1.1 and
// 5.0, restarts, and a node that is killed at random moments under load.
package durable
