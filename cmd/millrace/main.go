// Command millrace is an MQTT broker, and the tools to talk to one.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "millrace:", err)
		os.Exit(1)
	}
}

// run is the whole program but for its exit status.
func run(args []string, in io.Reader, out, errs io.Writer) error {
	root := rootCommand()
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errs)
	root.SetArgs(args)
	return root.Execute()
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "millrace",
		Short: "An MQTT 3.1.1 and 5.0 broker, and the tools to talk to one",
		Long: `An MQTT 3.1.1 and 5.0 broker, and the tools to talk to one.

Start a broker, listen, and publish, each in a terminal of its own:

  millrace serve
  millrace sub 'greetings/#'
  millrace pub greetings/world hello`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(benchCommand(), configCommand(), pubCommand(), serveCommand(), subCommand(), versionCommand())
	return root
}

// interruptible returns a context that ends on an interrupt or a request to stop. A second one ends the process.
func interruptible(c *cobra.Command) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(c.Context(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}
