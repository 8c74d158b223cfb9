// Package sessions proves that sessions and retained messages outlive the process: a real node is killed at random moments under
// load, again and again, while clients go on as the protocol says.
package sessions
