package session

// Window is how many QoS 1 and 2 messages the client may have unacknowledged on its connection: its Receive Maximum within
// Limits.MaxInflight. It is that of the last connection when there is none.
func (s *Session) Window() int { return int(s.window) }
