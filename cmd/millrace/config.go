package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/millrace-mq/millrace"
	"github.com/millrace-mq/millrace/internal/config"
)

// settings are the flags from which a node's configuration comes.
type settings struct {
	file, mqtt, ws, admin, data string
	set                         []string
}

func (s *settings) flags(f *pflag.FlagSet) {
	f.StringVarP(&s.file, "config", "c", os.Getenv("MILLRACE_CONFIG"), "configuration `file` (YAML)")
	f.StringVar(&s.mqtt, "mqtt", "", "`address` of the listener mqtt, HOST:PORT or :PORT; off: none")
	f.StringVar(&s.ws, "ws", "", "`address` of a listener ws for WebSocket, at /mqtt; off: none")
	f.StringVar(&s.admin, "admin", "", "`address` of health, metrics and profiles; off: none")
	f.StringVar(&s.data, "data", "", "`folder` of what outlives the process")
	f.StringArrayVar(&s.set, "set", nil, "any setting, as `section.key=value`; may be repeated")
}

// load returns the settings that count.
func (s *settings) load() (*config.Config, error) {
	var flags []config.Flag
	listener := func(flag, address string) {
		switch address {
		case "":
		case "off":
			flags = append(flags, config.Flag{Name: "--" + flag, Key: "listeners." + flag, Value: address})
		default:
			flags = append(flags,
				config.Flag{Name: "--" + flag, Key: "listeners." + flag + ".type", Value: flag},
				config.Flag{Name: "--" + flag, Key: "listeners." + flag + ".address", Value: address})
		}
	}
	listener("mqtt", s.mqtt)
	listener("ws", s.ws)
	if s.admin != "" {
		flags = append(flags, config.Flag{Name: "--admin", Key: "admin.address", Value: strings.TrimPrefix(s.admin, "off")})
	}
	if s.data != "" {
		flags = append(flags, config.Flag{Name: "--data", Key: "node.data_dir", Value: s.data})
	}
	for _, assignment := range s.set {
		key, value, ok := strings.Cut(assignment, "=")
		if !ok {
			return nil, fmt.Errorf("--set %s: write section.key=value", assignment)
		}
		flags = append(flags, config.Flag{Name: "--set", Key: key, Value: value})
	}
	return config.Load(config.Source{File: s.file, Env: os.Environ(), Flags: flags})
}

func configCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Check and print a node's configuration",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(configCheckCommand(), configPrintCommand())
	return c
}

func configCheckCommand() *cobra.Command {
	var s settings
	c := &cobra.Command{
		Use:   "check",
		Short: "Check the configuration that serve would use, and name all that is wrong",
		Long: `Check the configuration that serve would use: file, environment and flags together. All that is
wrong is named, each with its place. Certificates are read; no address is opened.`,
		Example: "  millrace config check -c millrace.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			conf, err := s.load()
			if err != nil {
				return err
			}
			if err := millrace.Check(conf); err != nil {
				return err
			}
			name := s.file
			if name == "" {
				name = "configuration"
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: valid; listeners: %s\n", name, strings.Join(conf.ListenerNames(), ", "))
			return nil
		},
	}
	s.flags(c.Flags())
	return c
}

func configPrintCommand() *cobra.Command {
	var s settings
	var defaults, bare bool
	c := &cobra.Command{
		Use:   "print",
		Short: "Print the configuration that serve would use, or the defaults, as a commented file",
		Example: `  millrace config print --defaults > millrace.yaml
  MILLRACE_LIMITS__MAX_INFLIGHT=10 millrace config print --no-comments -c millrace.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if defaults {
				return config.Default().WriteYAML(c.OutOrStdout(), !bare)
			}
			conf, err := s.load()
			if err != nil {
				return err
			}
			return conf.WriteYAML(c.OutOrStdout(), !bare)
		},
	}
	s.flags(c.Flags())
	c.Flags().BoolVar(&defaults, "defaults", false, "print the defaults, whatever is configured")
	c.Flags().BoolVar(&bare, "no-comments", false, "settings only")
	return c
}
