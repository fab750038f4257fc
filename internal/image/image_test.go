package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// buildStatic builds a program that needs nothing of its machine.
func buildStatic(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source, binary := filepath.Join(dir, "main.go"), filepath.Join(dir, "hello")
	writeTestFile(t, source, "package main\n\nfunc main() { println(\"hello\") }\n", 0o644)
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", binary, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

func writeTestFile(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// contents reads an archive: the files of its tar stream by name.
func contents(t *testing.T, r io.Reader) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for archive := tar.NewReader(r); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = data
	}
}

type config struct {
	Architecture, OS string
	Config           struct {
		User       string
		Entrypoint []string
	}
}

// open reads an archive as a container runtime does: names, configuration, layer.
func open(t *testing.T, archive string) (names []string, c config, layer []byte) {
	t.Helper()
	data, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	files := contents(t, bytes.NewReader(data))
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(files["manifest.json"], &manifest); err != nil || len(manifest) != 1 || len(manifest[0].Layers) != 1 {
		t.Fatalf("the manifest is %s, %v; want one image of one layer", files["manifest.json"], err)
	}
	if err := json.Unmarshal(files[manifest[0].Config], &c); err != nil {
		t.Fatal(err)
	}
	return manifest[0].RepoTags, c, files[manifest[0].Layers[0]]
}

func TestWriteStatic(t *testing.T) {
	binary := buildStatic(t)
	extra := filepath.Join(t.TempDir(), "ca.pem")
	writeTestFile(t, extra, "certificates", 0o600)
	for name, tc := range map[string]struct {
		root bool
		user string
	}{
		"the default user": {user: "65532:65532"},
		"root":             {root: true, user: "0:0"},
	} {
		t.Run(name, func(t *testing.T) {
			archive := filepath.Join(t.TempDir(), "new", "image.tar")
			spec := Spec{Name: "k8s4ai/hello:v1", Binary: binary, Root: tc.root, Files: []File{{From: extra, To: "/etc/ssl/ca.pem"}}}
			if err := Write(t.Context(), spec, archive); err != nil {
				t.Fatal(err)
			}
			names, c, layer := open(t, archive)
			want := config{Architecture: "amd64", OS: "linux"}
			want.Config.User, want.Config.Entrypoint = tc.user, []string{"/hello"}
			if diff := cmp.Diff(want, c); diff != "" {
				t.Errorf("the configuration differs (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]string{"k8s4ai/hello:v1"}, names); diff != "" {
				t.Errorf("the names differ (-want +got):\n%s", diff)
			}
			var entries []string
			modes := map[string]int64{}
			for stream := tar.NewReader(bytes.NewReader(layer)); ; {
				header, err := stream.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				if !header.ModTime.Equal(fixedTime) || header.Uid != 0 || header.Gid != 0 {
					t.Errorf("%s is of %s and belongs to %d:%d", header.Name, header.ModTime, header.Uid, header.Gid)
				}
				entries, modes[header.Name] = append(entries, header.Name), header.Mode
			}
			if diff := cmp.Diff([]string{"etc/", "etc/ssl/", "etc/ssl/ca.pem", "hello"}, entries); diff != "" {
				t.Errorf("the layer differs (-want +got):\n%s", diff)
			}
			if modes["hello"] != 0o755 || modes["etc/ssl/ca.pem"] != 0o644 {
				t.Errorf("the modes are %v, want a program and a file that all can read", modes)
			}
		})
	}
}

// A program that needs a loader gets it, and the whole C library.
func TestWriteDynamic(t *testing.T) {
	if p, err := inspect("/bin/ls"); err != nil || !p.isDynamic {
		t.Skipf("this machine's ls is no example of a dynamically linked program: %v", err)
	}
	archive := filepath.Join(t.TempDir(), "image.tar")
	if err := Write(t.Context(), Spec{Name: "k8s4ai/ls:v1", Binary: "/bin/ls"}, archive); err != nil {
		t.Fatal(err)
	}
	_, _, layer := open(t, archive)
	files := contents(t, bytes.NewReader(layer))
	for _, want := range []string{"libc.so.6", "libm.so.6", "ld-linux"} {
		found := false
		for name, data := range files {
			found = found || strings.HasPrefix(filepath.Base(name), want) && len(data) > 0
		}
		if !found {
			t.Errorf("the image has no %s", want)
		}
	}
}

// The same input gives the same bytes, whatever the age of the files.
func TestReproducible(t *testing.T) {
	binary := buildStatic(t)
	var archives [2][]byte
	for i := range archives {
		archive := filepath.Join(t.TempDir(), "image.tar")
		if err := Write(t.Context(), Spec{Name: "k8s4ai/hello:v1", Binary: binary}, archive); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		archives[i] = data
		if err := os.Chtimes(binary, fixedTime, fixedTime); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("the second archive differs from the first")
	}
}

// Bad input is named, and leaves no file behind.
func TestBadInput(t *testing.T) {
	binary, dir := buildStatic(t), t.TempDir()
	text, cut := filepath.Join(dir, "text"), filepath.Join(dir, "cut")
	writeTestFile(t, text, "#!/bin/sh\n", 0o755)
	writeTestFile(t, cut, "\x7fELF\x02\x01\x01", 0o755)
	huge := filepath.Join(dir, "huge")
	writeTestFile(t, huge, "", 0o644)
	if err := os.Truncate(huge, maxBytes+1); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		spec Spec
		want string
	}{
		"no tag":               {Spec{Name: "k8s4ai/hello", Binary: binary}, "it has no tag"},
		"a name that is none":  {Spec{Name: "K8S4AI:v1", Binary: binary}, `the image name "K8S4AI:v1"`},
		"a port is no tag":     {Spec{Name: "example.com:5000/hello", Binary: binary}, "it has no tag"},
		"no binary":            {Spec{Name: "a:v1", Binary: filepath.Join(dir, "absent")}, "absent"},
		"a script":             {Spec{Name: "a:v1", Binary: text}, "is no program for Linux"},
		"a cut binary":         {Spec{Name: "a:v1", Binary: cut}, "is no program for Linux"},
		"a directory":          {Spec{Name: "a:v1", Binary: dir}, dir},
		"a relative target":    {Spec{Name: "a:v1", Binary: binary, Files: []File{{text, "etc/x"}}}, `"etc/x" is no path in an image`},
		"a target outside":     {Spec{Name: "a:v1", Binary: binary, Files: []File{{text, "/../x"}}}, `"/../x" is no path in an image`},
		"the same target":      {Spec{Name: "a:v1", Binary: binary, Files: []File{{text, "/hello"}}}, "/hello is there twice"},
		"a file as directory":  {Spec{Name: "a:v1", Binary: binary, Files: []File{{text, "/hello/x"}}}, "/hello is a file"},
		"a directory as file":  {Spec{Name: "a:v1", Binary: binary, Files: []File{{dir, "/x"}}}, "is no regular file"},
		"more than is allowed": {Spec{Name: "a:v1", Binary: binary, Files: []File{{huge, "/x"}}}, "does not fit"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			err := Write(t.Context(), tc.spec, filepath.Join(out, "image.tar"))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Write() = %v, want an error that says %q", err, tc.want)
			}
			if entries, err := os.ReadDir(out); err != nil || len(entries) > 0 {
				t.Errorf("the directory holds %v, %v; want nothing", entries, err)
			}
		})
	}
}

func TestParseLibraries(t *testing.T) {
	cases := map[string]struct {
		out     string
		want    []string
		wantErr string
	}{
		"usual": {
			out:  "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n",
			want: []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"},
		},
		"a path with blanks": {out: "liba.so => /opt/a (1)/liba.so (0x00007f)\n", want: []string{"/opt/a (1)/liba.so"}},
		"missing":            {out: "\tlibfoo.so.1 => not found\n", wantErr: "libfoo.so.1 is not on this machine"},
		"static":             {out: "\tstatically linked\n", wantErr: "ldd named none"},
		"empty":              {wantErr: "ldd named none"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parseLibraries(tc.out)
			if (err == nil) != (tc.wantErr == "") || err != nil && !strings.Contains(err.Error(), tc.wantErr) {
				t.Fatalf("parseLibraries() = %v, want an error that says %q", err, tc.wantErr)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("parseLibraries() differs (-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever ldd prints, what comes out are paths that an image can have.
func FuzzParseLibraries(f *testing.F) {
	f.Add("\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n")
	f.Add("\tlibfoo.so.1 => not found\n")
	f.Add("a => b => /c (0x")
	f.Add("/")
	f.Fuzz(func(t *testing.T, out string) {
		paths, err := parseLibraries(out)
		if err == nil && len(paths) == 0 {
			t.Error("neither a path nor an error")
		}
		for _, path := range paths {
			if err := checkTarget(path); err != nil {
				t.Error(err)
			}
		}
		if slices.Contains(paths, "not found") {
			t.Error("a missing library counts as found")
		}
	})
}
