// Package admin serves HTTP to those who run a node: whether it lives and takes clients, its metrics, and profiles where they are
// turned on. It has a listener of its own; nothing of it is ever reachable where clients connect.
//
// Errors are JSON: {"error": "..."}. Requests are bounded in time, headers and body.
package admin
