// Package config holds every setting of a node in one struct, Config, whose field comments are the documentation: the
// reference page and the commented print-out are generated from them (reference.go, print.go), and a test fails when
// they are not current.
//
// Settings come, each above the one before, from the defaults, a YAML file, the environment (MILLRACE_SECTION__KEY,
// or MILLRACE_SECTION__KEY_FILE for a secret), and flags. Everything is strict: an unknown key, a value of another type or out
// of range is an error that names where it stands and what would be accepted. All errors are reported at once.
//
// Durations are written 10s, 5m, 12h or 7d; sizes 512, 64KiB or 1MiB.
package config
