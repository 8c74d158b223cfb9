// Package client is a small blocking MQTT client for both protocol versions over TCP, TLS, WebSocket and unix sockets. It serves
// `millrace pub`, `millrace sub` and the tests; it makes no decision that its caller could want otherwise: nothing is
// reconnected, retried or dropped behind the caller's back.
//
// A Client has one goroutine that reads and one that keeps the connection alive; both end when the connection does, and Close
// and Disconnect wait for them. Every method may be called by several goroutines.
package client
