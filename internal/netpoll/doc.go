// Package netpoll drives connections from a few event loops, one per processor.
//
// A Poller has Loops; each connection belongs to one, which reads it and calls the methods of its Handler. Two back ends
// do the reading and writing: epoll on Linux, and goroutines elsewhere (BackendPortable). Handlers cannot tell them apart.
//
// # Output
//
// A Turn is one pass of a loop. What is sent during a turn is encoded once, in place, into the arena of the turn
// (Turn.Begin, Turn.End), which gives a Segment, and a Segment may be sent to any number of connections. A connection only
// remembers which runs of the arena it is to get: segments that follow each other are merged, so a batch of messages that a
// thousand subscribers get is one contiguous write for each of them, without a copy. At the end of the turn each connection
// that was sent something is written once. What the kernel does not take is copied to buffers of the connection and goes
// out when the kernel reports room (EPOLLOUT, which is armed only then).
//
// Any turn may send to any connection, whichever loop owns it: a publisher's loop writes to its subscribers itself instead of
// waking others. Sends to one connection are written in the order in which Send was called. Whoever mails work to another
// loop and also sends directly must keep the order between the two himself.
//
// # Life of a connection
//
// Accept, admission (ListenConfig.Admit), ListenConfig.Open, Data and so on, Closed. From accept on an alarm of
// ListenConfig.ConnectTimeout runs; the handler gets it unless it sets another one first. After Conn.Close, Conn.Abort or an
// error from Data the handler gets Closed soon, on its loop, and nothing after that; the netpoll.Conn may be kept and used
// for ever, its methods then do nothing.
//
// # Sleeping
//
// A loop that has nothing to do parks in the poller of the Go runtime, in which the descriptor of its epoll set is registered,
// so it costs neither a thread nor a processor. Loops with little to do are driven by the goroutine of the first one, see
// crew. ARCHITECTURE.md has the measurements behind both.
//
// # Layers
//
// TLS, WebSocket and the PROXY header stand between the network and the handler, on both back ends alike, and compose. What
// comes before the handler gets the connection (header, handshake, upgrade) are Handlers of their own, one after the other.
package netpoll
