package netpoll

// What the two back ends do differently with a connection. The caller holds Conn.mu.

// watch waits for what the flags say now.
func (c *Conn) watch() {
	if c.fd >= 0 {
		sysWatch(c)
	} // in the portable back end the loop looks at flagPaused when something was read
}

// shut shuts down the writing side.
func (c *Conn) shut() {
	if c.flags.Load()&flagPortable != 0 {
		c.ext.std.shut()
	} else if c.fd >= 0 {
		sysShut(c.fd)
	}
}

// disconnect closes the descriptor.
func (c *Conn) disconnect() {
	if c.flags.Load()&flagPortable != 0 {
		c.ext.std.close()
	} else if fd := c.fd; fd >= 0 {
		c.loop.poller.table.clear(fd)
		c.fd = -1
		sysClose(fd)
	}
}
