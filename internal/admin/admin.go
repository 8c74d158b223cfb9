package admin

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"
)

// Options say what is served.
type Options struct {
	Address string       // HOST:PORT
	Token   string       // asked for but at /livez and /readyz; empty: none
	Pprof   bool         // profiles below /debug/pprof/
	Metrics http.Handler // of /metrics
	// Ready returns why clients should go elsewhere, or nil. Called by several goroutines.
	Ready func() error
	Log   *slog.Logger
}

// Server is the running admin listener.
type Server struct {
	http     http.Server
	listener net.Listener
	profiles bool
	done     chan struct{} // closed when the serving goroutine has ended
}

const maxBody = 64 << 10

// Start listens and serves until Stop.
func Start(o Options) (*Server, error) {
	l, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	s := &Server{listener: l, profiles: o.Pprof, done: make(chan struct{})}
	s.http = http.Server{
		Handler:           handler(o),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second, // profiles that last longer move it themselves
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}
	if o.Pprof {
		profile(true)
	}
	if host, _, err := net.SplitHostPort(l.Addr().String()); err == nil && o.Token == "" && !net.ParseIP(host).IsLoopback() {
		o.Log.Warn("admin listener is open to other machines without a token", "address", l.Addr().String(), "setting", "admin.token")
	}
	go func() { // ends when Stop closes the listener
		defer close(s.done)
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			o.Log.Error("admin listener failed", "error", err)
		}
	}()
	return s, nil
}

// Addr returns the address that is listened on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Stop closes the listener, and the connections once their requests are answered or ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	<-s.done
	if s.profiles {
		profile(false)
	}
	return err
}

func handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, "status", "live") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := o.Ready(); err != nil {
			reply(w, http.StatusServiceUnavailable, "error", err.Error())
			return
		}
		reply(w, http.StatusOK, "status", "ready")
	})
	mux.Handle("GET /metrics", o.guard(o.Metrics))
	if o.Pprof {
		mux.Handle("/debug/pprof/", o.guard(profiles()))
	}
	return http.MaxBytesHandler(jsonErrors(mux), maxBody)
}

// guard asks for the token.
func (o Options) guard(next http.Handler) http.Handler {
	if o.Token == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok || subtle.ConstantTimeCompare([]byte(given), []byte(o.Token)) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="millrace"`)
			reply(w, http.StatusUnauthorized, "error", "a bearer token is needed: admin.token")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// jsonErrors answers in JSON what the mux would answer in text: no such path, no such method.
func jsonErrors(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		// The mux knows whether it is the path or the method, and which methods there are.
		answer := &discarded{header: http.Header{}}
		mux.ServeHTTP(answer, r)
		if allow := answer.header.Get("Allow"); allow != "" {
			w.Header().Set("Allow", allow)
		}
		code := answer.code
		if code < 400 {
			code = http.StatusNotFound // a redirect of a path that is not clean
		}
		reply(w, code, "error", strings.ToLower(http.StatusText(code)))
	})
}

// discarded keeps the status and header of an answer.
type discarded struct {
	header http.Header
	code   int
}

func (d *discarded) Header() http.Header         { return d.header }
func (d *discarded) WriteHeader(code int)        { d.code = code }
func (d *discarded) Write(b []byte) (int, error) { return len(b), nil }

// reply writes an object with one member.
func reply(w http.ResponseWriter, code int, key, value string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{key: value}) // the client may be gone
}
