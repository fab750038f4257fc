package measure

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// scratchName is the same in every run, so that a run that was killed leaves at
// most one file, which the next one takes over.
const scratchName = ".k8s4ai-measure.scratch"

// namespace is how the kernel names the disks of an NVMe device, also with several
// paths.
var namespace = regexp.MustCompile(`^nvme\d+(c\d+)?n\d+$`)

// scratch is a file that is read past the page cache.
type scratch struct {
	file *os.File
	size int64
}

// writeScratch makes a file of at most so many bytes from copies of a chunk, which
// must be aligned to a page. Check is asked between chunks.
func writeScratch(folder string, most int64, chunk []byte, check func() error) (*scratch, error) {
	s, err := openScratch(folder, most)
	if err != nil {
		return nil, err
	}
	for offset := int64(0); offset < s.size; offset += int64(len(chunk)) {
		if err := check(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		if _, err := s.file.WriteAt(chunk, offset); err != nil {
			return nil, errors.Join(&gapError{ReasonFileSystem, fmt.Sprintf("writing the scratch file: %v", err)}, s.Close())
		}
	}
	if err := s.file.Sync(); err != nil {
		return nil, errors.Join(&gapError{ReasonFileSystem, fmt.Sprintf("writing the scratch file: %v", err)}, s.Close())
	}
	return s, nil
}

// openScratch opens the file and sizes it. It follows no link and takes nothing
// but a regular file that no other run holds.
func openScratch(folder string, most int64) (*scratch, error) {
	var space unix.Statfs_t
	if err := unix.Statfs(folder, &space); err != nil {
		return nil, &gapError{ReasonFileSystem, fmt.Sprintf("looking at %s: %v", folder, err)}
	}
	size := int64(min(uint64(max(0, most)), space.Bavail*uint64(space.Bsize)/scratchShare)) / chunkBytes * chunkBytes
	if size < leastScratch {
		return nil, &gapError{ReasonFileSystem, fmt.Sprintf("%s has less than %d MiB free, or less than %d MiB are allowed", folder, scratchShare*leastScratch/mebibyte, leastScratch/mebibyte)}
	}
	path := filepath.Join(folder, scratchName)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_DIRECT|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, &gapError{ReasonFileSystem, fmt.Sprintf("opening the scratch file for direct reads: %v", err)}
	}
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(&gapError{ReasonFileSystem, path + " is no regular file: remove it"}, file.Close())
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(&gapError{ReasonFileSystem, "another run uses " + path}, file.Close())
	}
	return &scratch{file: file, size: size}, nil
}

func (s *scratch) descriptor() int { return int(s.file.Fd()) }

// readAt fills the buffer, which must be aligned to a page.
func (s *scratch) readAt(to []byte, offset int64) error {
	if _, err := s.file.ReadAt(to, offset); err != nil {
		return &gapError{ReasonFileSystem, fmt.Sprintf("reading the scratch file: %v", err)}
	}
	return nil
}

// Close removes the file.
func (s *scratch) Close() error {
	return errors.Join(os.Remove(s.file.Name()), s.file.Close())
}

// nvmeOf is the name of the NVMe device below a folder, such as "nvme0n1". Volumes
// of several devices are followed to the first. The error is a gapError.
func nvmeOf(sysRoot, folder string) (string, error) {
	var stat unix.Stat_t
	if err := unix.Stat(folder, &stat); err != nil {
		return "", &gapError{ReasonFileSystem, fmt.Sprintf("looking at %s: %v", folder, err)}
	}
	number := fmt.Sprintf("%d:%d", unix.Major(stat.Dev), unix.Minor(stat.Dev))
	const depth = 4
	if disk := nvmeBelow(filepath.Join(sysRoot, "dev", "block", number), depth); disk != "" {
		return disk, nil
	}
	return "", &gapError{ReasonNotNVMe, fmt.Sprintf("%s is on block device %s, which is not known to be NVMe: name a folder of a file system on an NVMe device", folder, number)}
}

// nvmeBelow follows a link of sysfs to a block device, and from there to the
// devices of which it is made.
func nvmeBelow(link string, depth int) string {
	path, err := filepath.EvalSymlinks(link)
	if err != nil || depth == 0 {
		return ""
	}
	for element := range strings.SplitSeq(path, string(filepath.Separator)) {
		if namespace.MatchString(element) {
			return element
		}
	}
	parts, err := os.ReadDir(filepath.Join(path, "slaves"))
	if err != nil {
		return ""
	}
	for _, part := range parts {
		if disk := nvmeBelow(filepath.Join(path, "slaves", part.Name()), depth-1); disk != "" {
			return disk
		}
	}
	return ""
}
