// Package observe shows what a node does to those who run it: numbers for Prometheus, records for the log. The broker counts and
// decides; this package only looks, when it is asked: at a scrape it has a Sample filled in, so that a count on the way
// of a message costs nothing here.
//
// A metric never has a client, a user or a topic as a label: their number is the clients' to choose. The set is stable; docs/metrics.md
// is generated from Sample.
package observe
