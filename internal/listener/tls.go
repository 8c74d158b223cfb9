package listener

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// TLS says how a listener proves who it is, and how clients do.
type TLS struct {
	// CertFile and KeyFile are PEM files; the first has the chain, leaf first.
	CertFile, KeyFile string
	// ClientCAFile has the authorities (PEM) that clients' certificates must come from; empty: clients are not asked for one.
	ClientCAFile string
	// ClientOptional lets clients without a certificate in. One that is shown must be valid all the same.
	ClientOptional bool
	// MinVersion is "1.2" or "1.3"; empty means 1.2.
	MinVersion string
}

// load reads the files.
func (t *TLS) load() (*tls.Config, error) {
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", t.CertFile, err)
	}
	cfg := &tls.Config{
		Certificates: []tls.Certificate{cert},
		MinVersion:   tls.VersionTLS12,
		// Packets are gathered before they are encrypted: many small records would only cost more.
		DynamicRecordSizingDisabled: true,
	}
	switch t.MinVersion {
	case "", "1.2":
	case "1.3":
		cfg.MinVersion = tls.VersionTLS13
	default:
		return nil, fmt.Errorf("minimal TLS version %q is neither 1.2 nor 1.3", t.MinVersion)
	}
	if t.ClientCAFile == "" {
		if t.ClientOptional {
			return nil, errors.New("client certificates are optional but no authority is given")
		}
		return cfg, nil
	}
	pem, err := os.ReadFile(t.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("client authorities: %w", err)
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("client authorities: %s has no certificate", t.ClientCAFile)
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	if t.ClientOptional {
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return cfg, nil
}

// certificates is the TLS configuration of a listener, which can be replaced while it is in use.
type certificates struct {
	files   TLS
	current atomic.Pointer[tls.Config]
}

func newCertificates(files TLS) (*certificates, error) {
	c := &certificates{files: files}
	return c, c.reload()
}

// reload reads the files again; if that fails, what was in use stays in use.
func (c *certificates) reload() error {
	cfg, err := c.files.load()
	if err == nil {
		c.current.Store(cfg)
	}
	return err
}

// config is what the listener uses: each handshake takes the current one. The keys of session tickets are those of the outer
// configuration, so a reload does not end the sessions that clients could resume.
func (c *certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current.Load(), nil },
	}
}
