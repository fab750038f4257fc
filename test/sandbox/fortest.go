package sandbox

import (
	"errors"
	"os"
	"testing"
)

// MaySkip says whether a test may be skipped because Start returned that error: the
// binaries are missing, or the machine cannot run real nodes. Where CI is set the
// binaries have to be there, and where K8S4AI_REQUIRE_SYSTEM is set so has what the
// system provides: a pipeline that silently tests nothing is worse than a red one.
func MaySkip(err error) bool {
	return errors.Is(err, ErrNoBinaries) && os.Getenv("CI") == "" ||
		errors.Is(err, ErrNoRealNodes) && os.Getenv("K8S4AI_REQUIRE_SYSTEM") == ""
}

// StartForTest starts a cluster that lives as long as the test. Where MaySkip
// allows it, the test is skipped.
func StartForTest(t testing.TB, options Options) *Cluster {
	t.Helper()
	if options.Logf == nil {
		options.Logf = t.Logf
	}
	c, err := Start(t.Context(), options)
	if MaySkip(err) {
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
