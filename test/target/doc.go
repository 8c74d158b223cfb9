// Package target starts the server that the tests talk to: a node of this
// module inside the test's own process, one for each network back end.
//
// With MILLRACE_TEST_TCP (and MILLRACE_TEST_WS) set to host:port, the tests that
// look from outside only run against the server that listens there instead.
package target
