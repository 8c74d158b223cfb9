// Package hostile attacks a node the way that brokers in use were attacked, and
// shows that each attack ends with an error or a closed connection, that memory
// stays bounded, and that everyone else is served meanwhile.
//
// A test's name begins with its row in the list of bad inputs: Row01 to Row25.
// Tests of exhaustion have no row. Every test runs on both network back ends,
// beside a witness: a pair of clients that exchange messages all the time and
// must never miss one.
package hostile
