package admin

import (
	"net/http"
	"net/http/pprof"
	"runtime"
)

// Sampling of contention, as rare as still finds what matters: one of mutexFraction waits for a lock, and one wait for each
// blockRate nanoseconds spent blocked.
const (
	mutexFraction = 100
	blockRate     = 100_000
)

// profile turns the sampling of contention on or off for the whole process.
func profile(on bool) {
	if on {
		runtime.SetMutexProfileFraction(mutexFraction)
		runtime.SetBlockProfileRate(blockRate)
		return
	}
	runtime.SetMutexProfileFraction(0)
	runtime.SetBlockProfileRate(0)
}

// profiles serves them: profile (CPU), heap, allocs, mutex, block, goroutine, threadcreate, trace.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}
