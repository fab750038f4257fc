// Command image builds a container image from a program on this machine, without
// a container runtime and without a registry.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/k8s4ai/k8s4ai/internal/image"
)

const usage = `Builds a container image from a program and writes it as an archive, which
ctr images import, docker load and skopeo read. The same program gives the same
bytes. A dynamically linked program takes its loader and libraries along.

Usage:
  image --name NAME:TAG --binary PATH --out PATH [flags]

  --name NAME:TAG   the name under which the image is imported
  --binary PATH     the program; in the image it is /<base name>, the entrypoint
  --out PATH        the archive to write
  --root            run as root; the default is user and group 65532
  --tool PATH       a program that the first one starts; it is in the search path of
                    the image; repeatable
  --file FROM:TO    one more file, and its absolute path in the image; repeatable

Example:
  go run ./hack/image --name k8s4ai/manager:v0.1.0 --binary bin/manager --out out/images/manager.tar
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var spec image.Spec
	var archive string
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&spec.Name, "name", "", "")
	flags.StringVar(&spec.Binary, "binary", "", "")
	flags.StringVar(&archive, "out", "", "")
	flags.BoolVar(&spec.Root, "root", false, "")
	flags.Func("tool", "", func(value string) error {
		spec.Tools = append(spec.Tools, value)
		return nil
	})
	flags.Func("file", "", func(value string) error {
		from, to, ok := strings.Cut(value, ":")
		if !ok {
			return errors.New("write FROM:TO")
		}
		spec.Files = append(spec.Files, image.File{From: from, To: to})
		return nil
	})
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		_, err := io.WriteString(out, usage)
		return err
	case err != nil:
		return fmt.Errorf("reading flags: %w; see --help", err)
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q: see --help", flags.Arg(0))
	case spec.Name == "" || spec.Binary == "" || archive == "":
		return errors.New("--name, --binary and --out are needed: see --help")
	}
	if err := image.Write(ctx, spec, archive); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%s is in %s\n", spec.Name, archive)
	return err
}
