package ibfabric

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The programs are shell scripts in place of ibnetdiscover. internal/fleet runs
// the real one.
func TestDiscover(t *testing.T) {
	output, err := filepath.Abs("testdata/two-blocks.txt")
	if err != nil {
		t.Fatal(err)
	}
	script := func(text string) Discover {
		return Discover{Path: "sh", Args: []string{"-c", text, "sh", output}, Timeout: time.Minute}
	}
	short := script("cat \"$1\"; exec sleep 60")
	short.Timeout = 100 * time.Millisecond
	cases := map[string]struct {
		discover   Discover
		err        string
		incomplete string
		problem    string
	}{
		"whole":              {script(`cat "$1"`), "", "", ""},
		"with a warning":     {script(`cat "$1"; printf 'query failed\n\033[2J' >&2`), "", "", "sh warns: query failed; [2J"},
		"cut off":            {script(`head -n 42 "$1"`), "", "which has no section", ""},
		"fails":              {script(`cat "$1"; echo broken >&2; exit 3`), "sh failed: exit status 3: broken", "", ""},
		"fails at once":      {script(`echo "can't open UMAD port ((null):0)" >&2; exit 255`), "is /dev/infiniband mounted", "", ""},
		"prints nothing":     {script(`true`), "holds no switch", "", ""},
		"never ends":         {script(`yes "$(printf '%4000s' '#')"`), "longer than 256 MiB", "", ""},
		"prints a long line": {script(`head -c 100000 /dev/zero; exec sleep 60`), "line 1 is longer", "", ""},
		"complains forever":  {script(`cat "$1"; yes | head -c 1000000 >&2`), "", "", "sh warns: y; y"},
		"takes too long":     {short, "sh was stopped: it took longer than 100ms: raise --timeout", "", ""},
		"is not there":       {Discover{Path: "no-such-program", Timeout: time.Minute}, "no-such-program not found: install infiniband-diags", "", ""},
		"is no program":      {Discover{Path: output, Timeout: time.Minute}, "permission denied", "", ""},
		"path to nothing":    {Discover{Path: "/no/such/program", Timeout: time.Minute}, "/no/such/program not found", "", ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			result, err := c.discover.Run(t.Context())
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got error %.500v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(result.Incomplete, c.incomplete) || (c.incomplete == "") != (result.Incomplete == "") {
				t.Errorf("incomplete because of %q, want %q", result.Incomplete, c.incomplete)
			}
			problems := strings.Join(result.Problems, "\n")
			if !strings.Contains(problems, c.problem) || (c.problem == "") != (problems == "") || len(problems) > 2000 {
				t.Errorf("problems are %.500q, want %q", problems, c.problem)
			}
			if want := mustRead(t, file(t, "two-blocks.txt")).Scan; c.incomplete == "" && !cmp.Equal(want, result.Scan) {
				t.Error("the scan is not that of the file")
			}
		})
	}
}

func TestDiscoverEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Discover{Path: "sleep", Args: []string{"60"}, Timeout: time.Minute}).Run(ctx); err == nil {
		t.Error("a scan that was called off has no error")
	}
}
