package sandbox

import (
	"errors"
	"os"
	"testing"
)

// StartForTest starts a cluster that lives as long as the test. Without the
// binaries it skips the test, and fails it where CI is set: a pipeline that
// silently tests nothing is worse than a red one.
func StartForTest(t testing.TB, options Options) *Cluster {
	t.Helper()
	if options.Logf == nil {
		options.Logf = t.Logf
	}
	c, err := Start(t.Context(), options)
	if errors.Is(err, ErrNoBinaries) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("starting the sandbox: %v", err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Errorf("stopping the sandbox: %v", err)
		}
	})
	return c
}
