package observe

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"runtime"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const prefix = "millrace_"

// A metric is one field of Sample.
type metric struct {
	field  int
	name   string
	help   string
	label  string   // empty: the field is a number
	values []string // of the label; empty: the field is a map by the label's value
	kind   prometheus.ValueType
	desc   *prometheus.Desc
}

// metrics lists the fields of Sample in order.
func metrics() []metric {
	t := reflect.TypeFor[Sample]()
	all := make([]metric, t.NumField())
	for i := range all {
		tag := t.Field(i).Tag
		m := metric{field: i, name: prefix + tag.Get("metric"), help: tag.Get("help"), label: tag.Get("label"), kind: prometheus.GaugeValue}
		if strings.HasSuffix(m.name, "_total") {
			m.kind = prometheus.CounterValue
		}
		if v := tag.Get("values"); v != "" {
			m.values = strings.Split(v, ",")
		}
		var labels []string
		if m.label != "" {
			labels = []string{m.label}
		}
		m.desc = prometheus.NewDesc(m.name, m.help, labels, nil)
		all[i] = m
	}
	return all
}

// collector reads a Sample at each scrape.
type collector struct {
	metrics []metric
	read    func(*Sample)
}

func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		to <- m.desc
	}
}

func (c *collector) Collect(to chan<- prometheus.Metric) {
	var s Sample
	c.read(&s)
	v := reflect.ValueOf(&s).Elem()
	for _, m := range c.metrics {
		switch f := v.Field(m.field); f.Kind() {
		case reflect.Map:
			for at := f.MapRange(); at.Next(); {
				to <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(at.Value().Uint()), at.Key().String())
			}
		case reflect.Array:
			for i, value := range m.values {
				to <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(f.Index(i).Uint()), value)
			}
		default:
			to <- prometheus.MustNewConstMetric(m.desc, m.kind, float64(f.Uint()))
		}
	}
}

// Handler serves the metrics of a node in the Prometheus format. read fills in a Sample at each scrape; scrapes may overlap.
func Handler(version, node string, read func(*Sample), log *slog.Logger) http.Handler {
	registry := prometheus.NewRegistry()
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: prefix + "info", Help: infoHelp,
		ConstLabels: prometheus.Labels{"version": version, "node": node, "go": runtime.Version()},
	})
	info.Set(1)
	registry.MustRegister(
		&collector{metrics(), read}, info,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError), MaxRequestsInFlight: 4,
	})
}

const infoHelp = "Always 1; its labels say what runs."

const referenceHead = `# Metrics

<!-- Generated from internal/observe by "make docs". Change Sample there. -->

` + "`GET /metrics`" + ` on the admin listener, in the Prometheus format. The names, labels and meanings below are stable: a change is
announced in the changelog. No metric has a client, a user or a topic as a label. Beside these there are the usual ` + "`go_*`" + ` and
` + "`process_*`" + ` metrics.

| metric | type | labels | |
| --- | --- | --- | --- |
`

// WriteReference writes the reference page, Markdown.
func WriteReference(w io.Writer) error {
	rows := referenceHead + fmt.Sprintf("| `%sinfo` | gauge | version, node, go | %s |\n", prefix, infoHelp)
	for _, m := range metrics() {
		kind := "gauge"
		if m.kind == prometheus.CounterValue {
			kind = "counter"
		}
		label := m.label
		if len(m.values) > 0 {
			label += ": " + strings.Join(m.values, ", ")
		}
		rows += "| `" + m.name + "` | " + kind + " | " + label + " | " + m.help + " |\n"
	}
	_, err := io.WriteString(w, rows)
	return err
}

// check says what is wrong with the tags of Sample: for the test.
func (m metric) check() string {
	t := reflect.TypeFor[Sample]().Field(m.field).Type
	switch {
	case m.name == prefix || m.help == "" || !strings.HasSuffix(m.help, "."):
		return "no name, or no sentence that explains it"
	case t.Kind() == reflect.Array && t.Len() != len(m.values):
		return strconv.Itoa(t.Len()) + " values, but labels for " + strconv.Itoa(len(m.values))
	case t.Kind() == reflect.Map && (m.label == "" || m.values != nil):
		return "a map needs a label and no fixed values"
	case t.Kind() == reflect.Uint64 && m.label != "":
		return "a number has no label"
	}
	return ""
}
