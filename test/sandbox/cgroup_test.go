package sandbox

import (
	"os"
	"path/filepath"
	"testing"
)

// A tree of cgroups goes from below, and one that is not there is no failure.
func TestRemoveTree(t *testing.T) {
	top := filepath.Join(t.TempDir(), "top")
	if err := os.MkdirAll(filepath.Join(top, "node", "pods", "pod"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := removeTree(top); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(top); !os.IsNotExist(err) {
		t.Errorf("the directory: %v, want it gone", err)
	}
}

// The tree of this process has its child and not its parent.
func TestDescendants(t *testing.T) {
	tree, err := descendants([]int{os.Getpid()})
	if err != nil {
		t.Fatal(err)
	}
	if tree[os.Getpid()] == "" || tree[os.Getppid()] != "" {
		t.Errorf("descendants() = %v, want process %d and not %d", tree, os.Getpid(), os.Getppid())
	}
}
