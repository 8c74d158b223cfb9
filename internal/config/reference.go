package config

import (
	"bufio"
	"fmt"
	"io"
	"reflect"
	"strings"
)

const referenceHead = `# Configuration

<!-- Generated from internal/config by "make docs". Change the comments there. -->

Every setting of a node, with its default. ` + "`millrace config print --defaults`" + ` writes the same as a commented file to start
from, ` + "`millrace config check -c FILE`" + ` checks one, ` + "`millrace config print -c FILE`" + ` shows what would count.

## Where settings come from

Each of these counts above the ones before it:

1. the defaults below;
2. one YAML file: ` + "`millrace serve -c FILE`" + `, or the variable ` + "`MILLRACE_CONFIG`" + `;
3. the environment: ` + "`MILLRACE_SECTION__KEY`" + `, two underscores for each dot: ` + "`MILLRACE_LIMITS__MAX_PACKET_SIZE=4MiB`" + `,
   ` + "`MILLRACE_LISTENERS__TLS__ADDRESS=:8883`" + `. A secret may stay in a file of its own: ` + "`MILLRACE_ADMIN__TOKEN_FILE=/run/secrets/token`" + `;
4. flags: ` + "`--set section.key=value`" + `, and the short forms ` + "`--mqtt ADDR`, `--ws ADDR`, `--admin ADDR`, `--data DIR`" + `.

A file that has the section ` + "`listeners`" + ` replaces the default listener; the environment and flags add to what is there. A listener is
removed with ` + "`off`" + ` in place of its settings: ` + "`--set listeners.mqtt=off`" + `.

Nothing is guessed. An unknown setting, a value of another type or out of range is an error, all of them are reported at once, each
with its place, and the node does not start:

    millrace.yaml:12: limits.max_packt_size: no such setting; nearest: max_packet_size

Durations are written ` + "`500ms`, `10s`, `5m`, `12h` or `7d`, sizes `512`, `64KiB` or `1MiB` (`kB`, `MB` and `GB`" + ` are powers of 1000).

## Examples

TLS beside plain TCP, and WebSocket for browsers:

    listeners:
      mqtt:
        type: mqtt
      tls:
        type: mqtts
        tls:
          cert: /etc/millrace/cert.pem
          key: /etc/millrace/key.pem
      web:
        type: ws
        allowed_origins: ["https://app.example.com"]

Devices with certificates of their own:

    listeners:
      devices:
        type: mqtts
        tls:
          cert: /etc/millrace/cert.pem
          key: /etc/millrace/key.pem
          client_ca: /etc/millrace/devices-ca.pem
          client_auth: require
          min_version: "1.3"
`

// WriteReference writes the reference page, Markdown.
func WriteReference(w io.Writer) error {
	out := bufio.NewWriter(w) // keeps the first error for Flush
	out.WriteString(referenceHead)
	for _, f := range fields(reflect.ValueOf(Default()).Elem()) {
		fmt.Fprintf(out, "\n## %s\n\n%s\n", f.key, f.doc)
		v := f.value
		if v.Kind() == reflect.Map {
			v = reflect.ValueOf(defaultListener(""))
			fmt.Fprintf(out, "\nThe default is one listener, `mqtt`, of type mqtt. Each has:\n")
		}
		out.WriteString("\n| setting | default | accepted | |\n| --- | --- | --- | --- |\n")
		referenceRows(out, v, "")
	}
	return out.Flush()
}

func referenceRows(out *bufio.Writer, v reflect.Value, above string) {
	for _, f := range fields(v) {
		if f.value.Kind() == reflect.Struct {
			referenceRows(out, f.value, join(above, f.key))
			continue
		}
		if f.value.Kind() == reflect.Map {
			fmt.Fprintf(out, "| `%s.NAME` | | the settings of `defaults` | %s |\n", join(above, f.key), f.doc)
			continue
		}
		value := format(f.value)
		if value != "" && value != "[]" {
			value = "`" + value + "`"
		} else {
			value = ""
		}
		fmt.Fprintf(out, "| `%s` | %s | %s | %s |\n", join(above, f.key), value, f.accepted(), strings.ReplaceAll(f.doc, "|", "\\|"))
	}
}
