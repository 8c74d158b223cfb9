package lint

// A layer is a floor of the house. A package may import packages of lower floors only.
type layer int

const (
	pure         layer = iota // no I/O, no goroutine, no clock
	durability                // what makes an acknowledgement a promise
	distribution              // logs on many nodes, who is where
	edge                      // sockets, settings, people
	core                      // what a broker does
	beside                    // programs and tests beside the broker
	node                      // millrace.go: constructs, starts and stops the parts
	command                   // cmd/...
	proof                     // test/...
)

// layers gives every package of the module its floor, by path below the module's. A package that is not listed is
// judged by its longest listed prefix, so that sub-packages need no line of their own.
var layers = map[string]layer{
	"mqtt":             pure,
	"topic":            pure,
	"internal/buffer":  pure,
	"internal/message": pure,
	"internal/session": pure,
	"internal/queue":   pure,

	"internal/vfs":      durability,
	"internal/wal":      durability,
	"internal/state":    durability,
	"internal/retained": durability,

	"internal/replog":  distribution,
	"internal/depot":   distribution,
	"internal/cluster": distribution,

	"internal/netpoll":  edge,
	"internal/listener": edge,
	"internal/auth":     edge,
	"internal/admin":    edge,
	"internal/observe":  edge,
	"internal/config":   edge,

	"internal/broker": core,

	"internal/client": beside,
	"internal/bench":  beside,
	"internal/sim":    beside,
	"internal/lint":   beside,
	"test/peers":      beside,

	"":     node,
	"cmd":  command,
	"test": proof,
}

// An edge is an import between packages of one floor, or upwards, that the law would forbid.
type sideways struct{ from, to string }

// sidewaysAllowed lists them with the reason. A line that no import uses any more is an error: it must go.
var sidewaysAllowed = map[sideways]string{
	{"internal/session", "mqtt"}:              "the protocol state of a client speaks of packets and reason codes",
	{"internal/session", "internal/message"}:  "there is one message, and a session keeps it",
	{"internal/listener", "internal/netpoll"}: "a listener is an address that a poller accepts from",
	{"internal/depot", "internal/replog"}:     "the partitions of queues are state machines of replicated logs",
	{"internal/queue", "topic"}:               "a group has a filter",
	{"internal/wal", "internal/vfs"}:          "a log writes to a disk, which tests replace",
}

// onlyImports restricts what packages that other programs embed or that only look at the wire may import of this
// module, whatever their floor.
var onlyImports = map[string][]string{
	"mqtt":            {},
	"topic":           {},
	"internal/config": {},
	"internal/client": {"mqtt"},
	"internal/bench":  {"mqtt"},
	"internal/lint":   {},
}

// pureStandard lists what a pure package may not import of the standard library: it takes time as an argument, does no
// I/O and starts nothing.
var pureStandard = []string{"net", "net/http", "os", "syscall", "log", "log/slog", "context", "time"}

// forbiddenNames are package names that say nothing about what is inside.
var forbiddenNames = []string{"util", "utils", "common", "types", "helpers", "helper", "manager", "misc", "shared", "base"}

// Budgets, in lines. The 95th percentile counts non-test files; the largest file may be a test.
const (
	fileP95     = 600
	fileMax     = 1000
	functionP95 = 60
	functionMax = 100
)

// longFunctions are tables in the form of a switch, which would not read better in pieces: "path:function".
var longFunctions = map[string]string{}
