package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

type versionOptions struct{ format format }

func newVersionCommand() *cobra.Command {
	o := new(versionOptions)
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  nothing,
		RunE:  func(cmd *cobra.Command, _ []string) error { return o.run(cmd.OutOrStdout()) },
	}
	o.format.addTo(cmd.Flags())
	return withoutConnection(cmd, "it asks nobody")
}

func (o *versionOptions) run(w io.Writer) error {
	v := struct {
		Version string `json:"version"`
		Etcd    string `json:"etcd"`
		Go      string `json:"go"`
	}{"unknown", "unknown", runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Version = info.Main.Version
		for _, m := range info.Deps {
			if m.Path == "go.etcd.io/etcd/server/v3" {
				v.Etcd = m.Version
			}
		}
	}
	if o.format == jsonForm {
		return printJSON(w, v)
	}
	_, err := fmt.Fprintf(w, "locked %s (etcd %s, %s)\n", v.Version, v.Etcd, v.Go)
	return err
}
