package cuda

import (
	"errors"
	"fmt"
	"unsafe"
)

// fileCalls are the functions of cuFile in use. Its results are structures of two
// 32-bit numbers, the library's code and the driver's, in one register.
type fileCalls struct {
	open         func() uint64
	closeDriver  func() uint64
	properties   func(properties *fileProperties) uint64
	setFlag      func(parameter int32, value bool) uint64
	register     func(handle *uintptr, description *fileDescription) uint64
	deregister   func(handle uintptr)
	registerBuf  func(address uintptr, bytes uint64, flags int32) uint64
	forgetBuffer func(address uintptr) uint64
	read         func(handle, address uintptr, bytes uint64, fileOffset, bufferOffset int64) int64
}

func (c *fileCalls) bindings() []binding {
	return []binding{
		{symbol: "cuFileDriverOpen", function: &c.open},
		{symbol: "cuFileDriverClose_v2", function: &c.closeDriver},
		{symbol: "cuFileDriverGetProperties", function: &c.properties},
		{symbol: "cuFileSetParameterBool", function: &c.setFlag},
		{symbol: "cuFileHandleRegister", function: &c.register},
		{symbol: "cuFileHandleDeregister", function: &c.deregister},
		{symbol: "cuFileBufRegister", function: &c.registerBuf},
		{symbol: "cuFileBufDeregister", function: &c.forgetBuffer},
		{symbol: "cuFileRead", function: &c.read},
	}
}

// fileProperties is the start of CUfileDrvProps_t, with room for what newer
// versions append.
type fileProperties struct {
	major, _      uint32
	_, _          uint64
	status, flags uint32
	_             [224]byte
}

// fileDescription is CUfileDescr_t.
type fileDescription struct {
	kind       int32
	_          int32
	descriptor int32
	_          int32
	_          uintptr // Operations of file systems in user space.
}

// Values of cufile.h.
const (
	fileKindDescriptor  = 1
	fileAllowCompatible = 1
	flagCompatible      = 1
	statusNVMe          = 4
	statusNVMeP2P       = 11
)

// Files is cuFile with its compatibility mode off: what it reads goes from the
// disk to the device without a stay in host memory, or fails.
type Files struct {
	calls fileCalls
	path  string
}

// File is a file that is open for reads to a device.
type File struct {
	files  *Files
	handle uintptr
}

// OpenFiles finds cuFile and starts it. In compatibility mode cuFile copies
// through the host and says nothing of it; so an error is returned where the mode
// cannot be turned off, which takes CUDA 12.9, and where neither the kernel module
// nvidia-fs nor peer-to-peer DMA is there.
func OpenFiles(search Search) (*Files, error) {
	lib, err := search.openLibrary(search.CUFile, []string{"libcufile.so.0"}, toolkitFolders)
	if err != nil {
		return nil, err
	}
	f := &Files{path: lib.path}
	if err := lib.bind(f.calls.bindings()); err != nil {
		return nil, err
	}
	if err := checkFile("cuFileSetParameterBool", f.calls.setFlag(fileAllowCompatible, false)); err != nil {
		return nil, err
	}
	if err := checkFile("cuFileDriverOpen", f.calls.open()); err != nil {
		return nil, err
	}
	var properties fileProperties
	if err := checkFile("cuFileDriverGetProperties", f.calls.properties(&properties)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	direct := properties.major > 0 && properties.status&(1<<statusNVMe) != 0 || properties.status&(1<<statusNVMeP2P) != 0
	if !direct || properties.flags&(1<<flagCompatible) != 0 {
		return nil, errors.Join(errors.New("cuFile has no direct way from NVMe to the device on this machine"), f.Close())
	}
	return f, nil
}

// Close stops cuFile.
func (f *Files) Close() error { return checkFile("cuFileDriverClose_v2", f.calls.closeDriver()) }

// Path is where the library was found.
func (f *Files) Path() string { return f.path }

// Register takes a file that was opened with O_DIRECT.
func (f *Files) Register(descriptor int) (*File, error) {
	out := &File{files: f}
	description := fileDescription{kind: fileKindDescriptor, descriptor: int32(descriptor)}
	if err := checkFile("cuFileHandleRegister", f.calls.register(&out.handle, &description)); err != nil {
		return nil, err
	}
	return out, nil
}

// Close forgets the file; its descriptor stays open.
func (f *File) Close() { f.files.calls.deregister(f.handle) }

// Pin makes device memory known to cuFile, so that reads need no bounce buffer.
func (f *Files) Pin(m Memory) error {
	return checkFile("cuFileBufRegister", f.calls.registerBuf(m.address, uint64(m.Bytes), 0))
}

// Unpin is the end of Pin.
func (f *Files) Unpin(m Memory) error {
	return checkFile("cuFileBufDeregister", f.calls.forgetBuffer(m.address))
}

// Read reads bytes at an offset of the file to the start of device memory.
func (f *File) Read(to Memory, offset, bytes int64) error {
	if bytes < 0 || bytes > to.Bytes {
		return fmt.Errorf("reading %d bytes to %d: out of bounds", bytes, to.Bytes)
	}
	switch got := f.files.calls.read(f.handle, to.address, uint64(bytes), offset, 0); {
	case got == bytes:
		return nil
	case got < 0:
		return &CallError{Call: "cuFileRead", Name: "error", Code: int32(got)}
	default:
		return fmt.Errorf("cuFileRead: %d bytes of %d", got, bytes)
	}
}

func checkFile(call string, result uint64) error {
	if code := int32(uint32(result)); code != codeSuccess {
		return &CallError{Call: call, Name: "error", Code: code}
	}
	return nil
}

var _ [256]byte = [unsafe.Sizeof(fileProperties{})]byte{}
