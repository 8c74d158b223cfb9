package observe

import (
	"fmt"
	"io"
	"log/slog"
)

// NewLog returns a log that writes records of a level and above (debug, info, warn, error) as text or json. What clients send is quoted
// in both, so that it cannot forge a record.
func NewLog(w io.Writer, level, format string) (*slog.Logger, error) {
	var o slog.HandlerOptions
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level: %w", err)
	}
	o.Level = least
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, &o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &o)), nil
	}
	return nil, fmt.Errorf("log format %q is neither text nor json", format)
}
