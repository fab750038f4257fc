package agent

import (
	"context"
	"errors"
	"os"
	"slices"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
	"github.com/k8s4ai/k8s4ai/internal/agent/sysfs"
)

// Source is a machine as the agent sees it.
type Source interface {
	// Read looks at the machine once. An error says that this process cannot look
	// any more, and another one can.
	Read(ctx context.Context) (machine.Facts, error)
	// Events calls found for every error that the driver tells, until ctx ends.
	Events(ctx context.Context, found func(uuid string, xid uint64))
}

var (
	// errNoDriver says that there is nothing to open.
	errNoDriver = errors.New("no driver")
	// ErrReplaced says that the driver was replaced since the process has loaded
	// its library, which a process does once.
	ErrReplaced = errors.New("the driver was replaced: the agent has to start anew")
)

// reopenEvery is after how many looks a driver that could not be opened, or that
// fails, is tried again.
const reopenEvery = 6

// driver is an opened NVIDIA driver.
type driver interface {
	read() reading
	// events returns when ctx ends or the driver is closed.
	events(ctx context.Context, found func(uuid string, xid uint64))
	close() error
}

// reading is what a driver tells.
type reading struct {
	version  string
	gpus     []machine.GPU
	links    []machine.Link
	problems []machine.Problem
}

// Host is the machine whose root directory is at a path. A driver that is
// installed, mended or removed while the agent runs is noticed. Read must not be
// called at the same time; Events may run beside it.
type Host struct {
	root string
	// find and open are of the NVIDIA driver.
	find func(root string) string
	open func(path string) (driver, error)

	driver driver
	file   os.FileInfo // the library of driver
	// failure is why there is no driver, and waits counts down to the next try.
	failure error
	waits   int
	opened  chan driver
}

// NewHost returns the machine at root: "/" for the one that the program runs on,
// "/host" in a container that has it mounted there.
func NewHost(root string) *Host {
	return &Host{root: root, find: findDriver, open: openDriver, opened: make(chan driver, 1)}
}

// Close ends the use of the driver.
func (h *Host) Close() error {
	if h.driver == nil {
		return nil
	}
	defer func() { h.driver, h.file = nil, nil }()
	return h.driver.close()
}

// Events implements Source. It goes on when another driver is opened.
func (h *Host) Events(ctx context.Context, found func(uuid string, xid uint64)) {
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-h.opened:
			d.events(ctx, found)
		}
	}
}

// Read implements Source.
func (h *Host) Read(context.Context) (machine.Facts, error) {
	if err := h.useDriver(); err != nil {
		return machine.Facts{}, err
	}
	host := sysfs.Read(os.DirFS(h.root))
	facts := machine.Facts{
		BootID: host.BootID, Virtual: host.Virtual, Driver: host.AMDDriver,
		NUMANodes: host.NUMANodes, NICs: host.NICs, NVMes: host.NVMes, Problems: host.Problems,
	}
	if h.driver != nil {
		told := h.driver.read()
		facts.GPUs, facts.Links = told.gpus, told.links
		facts.Problems = slices.Concat(facts.Problems, told.problems)
		if told.version != "" {
			facts.Driver = told.version
		}
		if len(told.gpus) == 0 && len(told.problems) > 0 {
			h.giveUp(errors.New("the driver answers no call"))
		}
	}
	if h.failure != nil {
		facts.Problems = append(facts.Problems, machine.Problem{Device: "NVIDIA driver", What: h.failure.Error()})
	}
	first := len(facts.GPUs)
	for _, gpu := range host.GPUs {
		gpu.Index += first
		facts.GPUs = append(facts.GPUs, gpu)
	}
	facts.Links = slices.Concat(facts.Links, host.Links)
	for i := range facts.GPUs {
		if gpu := &facts.GPUs[i]; gpu.NUMANode == machine.Unknown {
			gpu.NUMANode = host.NUMAOf(gpu.PCIAddress)
		}
	}
	facts.Relations = host.Relate(facts.GPUs)
	return facts, nil
}

// useDriver opens the driver that is installed, and lets go of one that is not any
// more.
func (h *Host) useDriver() error {
	path := h.find(h.root)
	var file os.FileInfo
	if path != "" {
		file, _ = os.Stat(path)
	}
	if h.driver != nil && !isSame(file, h.file) {
		if err := h.Close(); err != nil {
			h.failure = err
		}
	}
	if path == "" {
		h.failure, h.waits = nil, 0
		return nil
	}
	if h.driver != nil {
		return nil
	}
	if h.waits > 0 {
		h.waits--
		return nil
	}
	d, err := h.open(path)
	switch {
	case errors.Is(err, ErrReplaced):
		return err
	case errors.Is(err, errNoDriver):
		h.failure, h.waits = nil, reopenEvery
	case err != nil:
		h.failure, h.waits = err, reopenEvery
	default:
		h.driver, h.file, h.failure = d, file, nil
		select {
		case <-h.opened: // Nobody listens yet.
		default:
		}
		h.opened <- d
	}
	return nil
}

// isSame says whether a file is the one that it was. A file that takes the place of
// a removed one can have its number.
func isSame(file, was os.FileInfo) bool {
	return file != nil && os.SameFile(file, was) && file.ModTime().Equal(was.ModTime()) && file.Size() == was.Size()
}

// giveUp closes a driver that does not work, to open it again later.
func (h *Host) giveUp(why error) {
	h.failure, h.waits = why, reopenEvery
	if err := h.Close(); err != nil {
		h.failure = errors.Join(why, err)
	}
}
