package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
)

// writeLayer writes the files and the directories above them as a tar stream,
// sorted by path, so that a directory comes before what is in it.
func writeLayer(w io.Writer, files []File) error {
	sources := map[string]string{} // by path in the image; "" is a directory
	for _, file := range files {
		if err := checkTarget(file.To); err != nil {
			return err
		}
		if from, exists := sources[file.To]; exists && from != file.From {
			return fmt.Errorf("%s is there twice: name each path of the image once", file.To)
		}
		sources[file.To] = file.From
	}
	for _, file := range files {
		for dir := path.Dir(file.To); dir != "/"; dir = path.Dir(dir) {
			if from := sources[dir]; from != "" {
				return fmt.Errorf("%s is a file, and %s needs it to be a directory", dir, file.To)
			}
			sources[dir] = ""
		}
	}
	layer := tar.NewWriter(w)
	left := int64(maxBytes)
	for _, to := range slices.Sorted(maps.Keys(sources)) {
		size, err := writeEntry(layer, sources[to], to, left)
		if err != nil {
			return err
		}
		left -= size
	}
	return layer.Close()
}

func checkTarget(to string) error {
	if !strings.HasPrefix(to, "/") || path.Clean(to) != to || to == "/" || strings.ContainsRune(to, 0) {
		return fmt.Errorf("%q is no path in an image: write an absolute path without dots for directories", to)
	}
	return nil
}

// writeEntry writes one file, or a directory when from is empty, and returns its
// size in bytes.
func writeEntry(layer *tar.Writer, from, to string, left int64) (size int64, err error) {
	header := &tar.Header{Name: strings.TrimPrefix(to, "/"), ModTime: fixedTime, Format: tar.FormatPAX}
	if from == "" {
		header.Typeflag, header.Name, header.Mode = tar.TypeDir, header.Name+"/", 0o755
		return 0, layer.WriteHeader(header)
	}
	file, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is no regular file: an image takes files one by one", from)
	}
	if info.Size() > left {
		return 0, fmt.Errorf("%s does not fit: the files of an image may have %d MiB together", from, maxBytes>>20)
	}
	header.Typeflag, header.Size, header.Mode = tar.TypeReg, info.Size(), 0o644
	if info.Mode()&0o111 != 0 {
		header.Mode = 0o755
	}
	if err := layer.WriteHeader(header); err != nil {
		return 0, err
	}
	if _, err := io.CopyN(layer, file, info.Size()); err != nil {
		return 0, fmt.Errorf("reading %s: %w", from, err)
	}
	return info.Size(), nil
}
