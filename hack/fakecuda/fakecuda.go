// Package fakecuda builds FAKE versions of the CUDA driver, cuBLASLt and cuFile
// from C, for tests on machines without an accelerator. They are loaded in the way
// of the real libraries and check their arguments; they compute nothing, and what
// they say about speed is what fakecuda.txt beside them says. src/libcuda.c lists
// its lines.
package fakecuda

import (
	"context"
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

//go:embed src
var sources embed.FS

// Options shape the libraries.
type Options struct {
	// Machine is the text of fakecuda.txt.
	Machine string
	// Missing are functions that the libraries shall lack, as older ones do.
	Missing []string
	// WithoutBLAS and WithoutFiles leave a library out.
	WithoutBLAS, WithoutFiles bool
	// NoDirectStorage makes the fake of cuFile one of a machine on which it can
	// only copy through the host.
	NoDirectStorage bool
}

// library is one shared library to build.
type library struct {
	source, file string
	flags        []string
}

// compiled holds libraries by what they were built of: most tests differ in the
// machine alone.
var compiled struct {
	lock  sync.Mutex
	bytes map[string][]byte
}

// Build puts the libraries into a folder, which must exist. It needs gcc. Each
// folder is a machine of its own, also within one process.
func Build(ctx context.Context, folder string, o Options) error {
	if err := os.WriteFile(filepath.Join(folder, "fakecuda.txt"), []byte(o.Machine), 0o600); err != nil {
		return fmt.Errorf("writing the fake machine: %w", err)
	}
	compiled.lock.Lock()
	defer compiled.lock.Unlock()
	for _, l := range o.libraries() {
		key := fmt.Sprint(l, o.Missing)
		if compiled.bytes[key] == nil {
			made, err := l.compile(ctx, script(o.Missing))
			if err != nil {
				return fmt.Errorf("building the fake %s: %w", l.file, err)
			}
			if compiled.bytes == nil {
				compiled.bytes = map[string][]byte{}
			}
			compiled.bytes[key] = made
		}
		if err := os.WriteFile(filepath.Join(folder, l.file), compiled.bytes[key], 0o600); err != nil {
			return fmt.Errorf("writing the fake %s: %w", l.file, err)
		}
	}
	return nil
}

// compile returns the library.
func (l library) compile(ctx context.Context, visible string) ([]byte, error) {
	folder, err := os.MkdirTemp("", "fakecuda-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	if err := os.CopyFS(folder, sources); err != nil {
		return nil, err
	}
	symbols, out := filepath.Join(folder, "symbols.map"), filepath.Join(folder, "out.so")
	if err := os.WriteFile(symbols, []byte(visible), 0o600); err != nil {
		return nil, err
	}
	args := append([]string{
		"-std=gnu11", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-Wl,--version-script=" + symbols,
		"-Wl,-soname," + l.file, "-o", out, filepath.Join(folder, "src", l.source),
	}, append(l.flags, "-ldl", "-lpthread")...)
	if text, err := exec.CommandContext(ctx, "gcc", args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, text)
	}
	return os.ReadFile(out)
}

func (o Options) libraries() []library {
	out := []library{{source: "libcuda.c", file: "libcuda.so.1"}}
	if !o.WithoutBLAS {
		out = append(out,
			library{source: "libcublaslt.c", file: "libcublasLt.so.12", flags: []string{"-DFAKE_VERSION=120600"}},
			library{source: "libcublaslt.c", file: "libcublasLt.so.13", flags: []string{"-DFAKE_VERSION=130100"}})
	}
	if !o.WithoutFiles {
		l := library{source: "libcufile.c", file: "libcufile.so.0"}
		if o.NoDirectStorage {
			l.flags = []string{"-DFAKE_CUFILE_DIRECT=0"}
		}
		out = append(out, l)
	}
	return out
}

// script hides functions from dlsym. Without any, all stay visible.
func script(missing []string) string {
	if len(missing) == 0 {
		return "{ global: *; };\n"
	}
	return "{ global: *; local: " + strings.Join(missing, "; ") + "; };\n"
}
