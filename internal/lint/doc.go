// Package lint holds the rules of the house as tests: which package may import which (laws.go), how long a file or a
// function may grow, that every package says what it is for, that every goroutine names who stops it, and that the
// repository speaks of the project alone.
//
// A rule that is broken names the file and what to do. The tables in laws.go are meant to be edited: a new package gets
// a layer, a new sideways import gets a line with its reason.
package lint
