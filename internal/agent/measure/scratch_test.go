package measure

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNVMeOf(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		device string
		slaves string
		want   string
	}{
		"partition": {device: "devices/pci0000:00/0000:01:00.0/nvme/nvme3/nvme3n1/nvme3n1p1", want: "nvme3n1"},
		"multipath": {device: "devices/virtual/nvme-subsystem/nvme-subsys0/nvme0c1n1", want: "nvme0c1n1"},
		"volume":    {device: "devices/virtual/block/dm-0", slaves: "devices/pci0000:00/nvme/nvme1/nvme1n1", want: "nvme1n1"},
		"SATA":      {device: "devices/pci0000:00/ata1/host0/target0:0:0/block/sda/sda1"},
		"over SATA": {device: "devices/virtual/block/dm-0", slaves: "devices/pci0000:00/ata1/block/sda"},
		"look-alike": {
			device: "devices/virtual/block/nvmefake",
		},
		"unknown": {},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			folder, sysRoot := t.TempDir(), t.TempDir()
			if c.device != "" {
				linkDisk(t, sysRoot, folder, c.device)
			}
			if c.slaves != "" {
				slaves := filepath.Join(sysRoot, c.device, "slaves")
				err := errors.Join(os.MkdirAll(slaves, 0o750), os.MkdirAll(filepath.Join(sysRoot, c.slaves), 0o750),
					os.Symlink(filepath.Join(sysRoot, c.slaves), filepath.Join(slaves, "part")))
				if err != nil {
					t.Fatal(err)
				}
			}
			got, err := nvmeOf(sysRoot, folder)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
			var gap *gapError
			if err != nil && (!errors.As(err, &gap) || gap.reason != ReasonNotNVMe) {
				t.Errorf("got %v, want %s", err, ReasonNotNVMe)
			}
		})
	}
	// A volume that is made of itself ends.
	sysRoot, folder := t.TempDir(), t.TempDir()
	linkDisk(t, sysRoot, folder, "devices/virtual/block/dm-0")
	blocks := filepath.Join(sysRoot, "devices", "virtual", "block")
	if err := os.Symlink(blocks, filepath.Join(blocks, "dm-0", "slaves")); err != nil {
		t.Fatal(err)
	}
	if _, err := nvmeOf(sysRoot, folder); err == nil {
		t.Error("a volume made of itself is NVMe")
	}
}

func TestScratch(t *testing.T) {
	t.Parallel()
	path := func(folder string) string { return filepath.Join(folder, scratchName) }
	cases := map[string]struct {
		prepare func(t *testing.T, folder string)
		most    int64
		want    string
	}{
		"new":            {},
		"left by a kill": {prepare: func(t *testing.T, folder string) { write(t, path(folder)) }},
		"a link": {
			prepare: func(t *testing.T, folder string) {
				write(t, filepath.Join(folder, "precious"))
				if err := os.Symlink(filepath.Join(folder, "precious"), path(folder)); err != nil {
					t.Fatal(err)
				}
			},
			want: "opening the scratch file",
		},
		"a folder": {prepare: func(t *testing.T, folder string) {
			if err := os.Mkdir(path(folder), 0o750); err != nil {
				t.Fatal(err)
			}
		}, want: "opening the scratch file"},
		"a pipe": {prepare: func(t *testing.T, folder string) {
			if err := unix.Mkfifo(path(folder), 0o600); err != nil {
				t.Fatal(err)
			}
		}, want: "scratch"},
		"used by another": {prepare: func(t *testing.T, folder string) {
			write(t, path(folder))
			file, err := os.Open(path(folder))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = file.Close() })
			if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
				t.Fatal(err)
			}
		}, want: "another run uses"},
		"too small": {most: leastScratch - 1, want: "less than 64 MiB are allowed"},
		"no folder": {prepare: func(t *testing.T, folder string) {
			if err := os.RemoveAll(folder); err != nil {
				t.Fatal(err)
			}
		}, want: "no such file"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			folder, _ := onNVMe(t)
			if c.prepare != nil {
				c.prepare(t, folder)
			}
			s, err := openScratch(folder, cmp.Or(c.most, leastScratch))
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				if name == "a link" {
					if text, err := os.ReadFile(filepath.Join(folder, "precious")); err != nil || string(text) != "precious" {
						t.Errorf("the file behind the link is %q, %v", text, err)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Lstat(path(folder)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the scratch file is still there: %v", err)
			}
		})
	}
}

func write(t *testing.T, path string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
}
