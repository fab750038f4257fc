// Command kubectl-k8s4ai is the kubectl plugin.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/term"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/k8s4ai/k8s4ai/internal/cli"
)

// version is set when the binary is linked.
var version = "development"

// widthElsewhere is the number of columns where the output is no terminal: wide
// enough that nothing gets lost.
const widthElsewhere = 200

func main() {
	ctx := ctrl.SetupSignalHandler()
	// Nothing is written anywhere, so that leaving at once leaves nothing half done.
	context.AfterFunc(ctx, func() { os.Exit(cli.ExitFailed) })
	err := cli.NewCommand(streams(), version).ExecuteContext(ctx)
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "error:", err)
	}
	os.Exit(cli.ExitCode(err))
}

func streams() cli.Streams {
	s := cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Width: widthElsewhere, Now: time.Now}
	if width, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil {
		s.Width = width
		s.Colour = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	if width, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && width > 0 {
		s.Width = width
	}
	return s
}
