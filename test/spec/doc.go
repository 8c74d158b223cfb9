// Package spec shows, from outside and one by one, that the server does what
// the MQTT 3.1.1 and 5.0 specifications ask of it.
//
// Every normative statement has a row in the registry of this package's tests:
// a test named after it, or the reason why it has none. A run is named
// TestMQTT5/MQTT-3.1.2-24/epoll/ws: version, statement, network back end,
// transport. testdata holds the lists of statements; docs/conformance.md is
// generated from the registry.
package spec

//go:generate go test . -run TestConformancePage -update
