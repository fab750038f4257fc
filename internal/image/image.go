package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const (
	// nobody is the user of an image unless it asks for root. It is a number, so
	// that a kubelet can check runAsNonRoot.
	nobody = "65532:65532"
	// maxBytes bounds the files of an image, which is put together in memory.
	maxBytes = 1 << 30
)

// Spec says what an image holds.
type Spec struct {
	// Name is the reference under which the image is imported, with a tag, such
	// as "k8s4ai/manager:v0.1.0".
	Name string
	// Binary is the program on this machine. In the image it is the entrypoint
	// /<base name>. A dynamically linked program takes along its loader and
	// libraries, at the paths where this machine has them.
	Binary string
	// Tools are programs that Binary starts. Each is /<base name>, which is in the
	// search path, and takes its libraries along.
	Tools []string
	// Files are further files, such as certificates.
	Files []File
	// Root makes the program run as root instead of as user and group 65532.
	Root bool
}

// File is one more file of an image.
type File struct {
	// From is its path on this machine.
	From string
	// To is its absolute path in the image.
	To string
}

// Write builds the image and writes it as an archive, whole or not at all. The
// directory of the archive is created. Files may have 1 GiB together. ctx bounds
// the search for libraries.
func Write(ctx context.Context, spec Spec, archive string) error {
	tag, err := name.NewTag(spec.Name)
	if err == nil && !strings.HasSuffix(spec.Name, ":"+tag.TagStr()) {
		err = errors.New("it has no tag")
	}
	if err != nil {
		return fmt.Errorf("the image name %q: %w; write it like k8s4ai/manager:v0.1.0", spec.Name, err)
	}
	built, err := build(ctx, spec)
	if err != nil {
		return fmt.Errorf("building the image %s: %w", spec.Name, err)
	}
	if err := writeWhole(archive, func(w io.Writer) error { return tarball.Write(tag, built, w) }); err != nil {
		return fmt.Errorf("writing the image %s: %w", spec.Name, err)
	}
	return nil
}

func build(ctx context.Context, spec Spec) (v1.Image, error) {
	program, err := inspect(spec.Binary)
	if err != nil {
		return nil, err
	}
	entrypoint := inRoot(spec.Binary)
	files, err := programFiles(ctx, append([]string{spec.Binary}, spec.Tools...))
	if err != nil {
		return nil, err
	}
	files = append(files, spec.Files...)
	var layer bytes.Buffer
	if err := writeLayer(&layer, files); err != nil {
		return nil, err
	}
	user := nobody
	if spec.Root {
		user = "0:0"
	}
	// Not compressed: it is read on the machine that writes it.
	withLayer, err := mutate.Append(empty.Image, mutate.Addendum{
		Layer:   static.NewLayer(layer.Bytes(), types.DockerUncompressedLayer),
		History: v1.History{Created: v1.Time{Time: fixedTime}, CreatedBy: "files of this machine"},
	})
	if err != nil {
		return nil, err
	}
	config, err := withLayer.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", program.architecture, v1.Time{Time: fixedTime}
	config.Config = v1.Config{Entrypoint: []string{entrypoint}, User: user, WorkingDir: "/", Env: []string{"PATH=/"}}
	return mutate.ConfigFile(withLayer, config)
}

// inRoot is where an image has a program.
func inRoot(program string) string { return path.Join("/", filepath.Base(program)) }

// programFiles are programs and the libraries that they need, each once.
func programFiles(ctx context.Context, programs []string) ([]File, error) {
	var files []File
	for _, name := range programs {
		program, err := inspect(name)
		if err != nil {
			return nil, err
		}
		files = append(files, File{From: name, To: inRoot(name)})
		if !program.isDynamic {
			continue
		}
		needed, err := libraries(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, library := range needed {
			if file := (File{From: library, To: library}); !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	return files, nil
}

// fixedTime is the age of every file and image.
var fixedTime = time.Unix(0, 0).UTC()

// writeWhole writes a file under another name first, so that an interrupted build
// leaves no half of an archive behind.
func writeWhole(file string, write func(io.Writer) error) (err error) {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(temporary.Name()))
		}
	}()
	if err := errors.Join(write(temporary), temporary.Chmod(0o644), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), file)
}
