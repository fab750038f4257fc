package cuda

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unsafe"
)

// driverCalls are the functions of libcuda in use. Devices are int32, contexts,
// streams, events and device memory are uintptr, results are int32.
type driverCalls struct {
	init          func(flags uint32) int32
	getVersion    func(version *int32) int32
	errorName     func(code int32, name *unsafe.Pointer) int32
	deviceCount   func(count *int32) int32
	deviceGet     func(device *int32, ordinal int32) int32
	deviceName    func(name *byte, length, device int32) int32
	deviceUUID    func(uuid *byte, device int32) int32
	oldDeviceUUID func(uuid *byte, device int32) int32
	deviceMemory  func(bytes *uint64, device int32) int32
	attribute     func(value *int32, attribute, device int32) int32
	pciAddress    func(address *byte, length, device int32) int32
	canAccessPeer func(can *int32, device, peer int32) int32
	enablePeer    func(context uintptr, flags uint32) int32
	retain        func(context *uintptr, device int32) int32
	release       func(device int32) int32
	setCurrent    func(context uintptr) int32
	memoryInfo    func(free, total *uint64) int32
	alloc         func(address *uintptr, bytes uint64) int32
	free          func(address uintptr) int32
	allocHost     func(address *unsafe.Pointer, bytes uint64) int32
	freeHost      func(address unsafe.Pointer) int32
	toDevice      func(to uintptr, from unsafe.Pointer, bytes uint64, stream uintptr) int32
	onDevice      func(to, from uintptr, bytes uint64, stream uintptr) int32
	toPeer        func(to, toContext, from, fromContext uintptr, bytes uint64, stream uintptr) int32
	streamCreate  func(stream *uintptr, flags uint32) int32
	streamDestroy func(stream uintptr) int32
	eventCreate   func(event *uintptr, flags uint32) int32
	eventDestroy  func(event uintptr) int32
	eventRecord   func(event, stream uintptr) int32
	eventQuery    func(event uintptr) int32
	elapsed       func(milliseconds *float32, start, end uintptr) int32
}

func (c *driverCalls) bindings() []binding {
	return []binding{
		{symbol: "cuInit", function: &c.init},
		{symbol: "cuDriverGetVersion", function: &c.getVersion},
		{symbol: "cuGetErrorName", function: &c.errorName},
		{symbol: "cuDeviceGetCount", function: &c.deviceCount},
		{symbol: "cuDeviceGet", function: &c.deviceGet},
		{symbol: "cuDeviceGetName", function: &c.deviceName},
		{symbol: "cuDeviceGetUuid_v2", function: &c.deviceUUID, optional: true}, // Newer than CUDA 11.3.
		{symbol: "cuDeviceGetUuid", function: &c.oldDeviceUUID},
		{symbol: "cuDeviceTotalMem_v2", function: &c.deviceMemory},
		{symbol: "cuDeviceGetAttribute", function: &c.attribute},
		{symbol: "cuDeviceGetPCIBusId", function: &c.pciAddress},
		{symbol: "cuDeviceCanAccessPeer", function: &c.canAccessPeer},
		{symbol: "cuCtxEnablePeerAccess", function: &c.enablePeer},
		{symbol: "cuDevicePrimaryCtxRetain", function: &c.retain},
		{symbol: "cuDevicePrimaryCtxRelease_v2", function: &c.release},
		{symbol: "cuCtxSetCurrent", function: &c.setCurrent},
		{symbol: "cuMemGetInfo_v2", function: &c.memoryInfo},
		{symbol: "cuMemAlloc_v2", function: &c.alloc},
		{symbol: "cuMemFree_v2", function: &c.free},
		{symbol: "cuMemAllocHost_v2", function: &c.allocHost},
		{symbol: "cuMemFreeHost", function: &c.freeHost},
		{symbol: "cuMemcpyHtoDAsync_v2", function: &c.toDevice},
		{symbol: "cuMemcpyDtoDAsync_v2", function: &c.onDevice},
		{symbol: "cuMemcpyPeerAsync", function: &c.toPeer},
		{symbol: "cuStreamCreate", function: &c.streamCreate},
		{symbol: "cuStreamDestroy_v2", function: &c.streamDestroy},
		{symbol: "cuEventCreate", function: &c.eventCreate},
		{symbol: "cuEventDestroy_v2", function: &c.eventDestroy},
		{symbol: "cuEventRecord", function: &c.eventRecord},
		{symbol: "cuEventQuery", function: &c.eventQuery},
		{symbol: "cuEventElapsedTime", function: &c.elapsed},
	}
}

// Values of CUdevice_attribute.
const (
	attributeL2Bytes      = 38
	attributeCapability   = 75
	attributeCapabilityLo = 76
)

// maxDevices is more than any machine has; a count above it is not believed.
const maxDevices = 64

// Driver is the CUDA driver of the machine, ready for use.
type Driver struct {
	calls   driverCalls
	path    string
	version int
}

// Device is one accelerator as the driver shows it to this process.
type Device struct {
	// UUID is in the form of NVML: "GPU-", or "MIG-" for a slice of a GPU.
	UUID string
	// PCIAddress is as the driver writes it, in lower case; "" when it does not tell.
	Name, PCIAddress string
	// Major and Minor are the compute capability.
	Major, Minor int
	// MemoryBytes is the size of the memory, L2Bytes that of the level 2 cache, 0
	// when the driver does not tell.
	MemoryBytes, L2Bytes int64
	// Slice is true for a MIG instance.
	Slice bool

	handle int32
}

// OpenDriver finds the driver's library, checks that it has all that is needed and
// initialises it. The error is ErrNoLibrary without a library, ErrNoDevice where
// the driver has no device, or a SymbolError.
func OpenDriver(search Search) (*Driver, error) {
	lib, err := search.openLibrary(search.Driver, []string{"libcuda.so.1"}, driverFolders)
	if err != nil {
		return nil, err
	}
	d := &Driver{path: lib.path}
	if err := lib.bind(d.calls.bindings()); err != nil {
		return nil, err
	}
	if code := d.calls.init(0); code != codeSuccess {
		err := d.check("cuInit", code)
		if code == codeNoDevice {
			return nil, fmt.Errorf("%w (%w)", ErrNoDevice, err)
		}
		return nil, err
	}
	var version int32
	if err := d.check("cuDriverGetVersion", d.calls.getVersion(&version)); err != nil {
		return nil, err
	}
	d.version = int(version)
	return d, nil
}

// Path is where the library was found.
func (d *Driver) Path() string { return d.path }

// Version is the newest CUDA that the driver knows, such as 12040 for 12.4.
func (d *Driver) Version() int { return d.version }

// Devices lists the accelerators in the driver's order. The error is ErrNoDevice
// when there is none.
func (d *Driver) Devices() ([]Device, error) {
	var count int32
	if err := d.check("cuDeviceGetCount", d.calls.deviceCount(&count)); err != nil {
		return nil, err
	}
	if count <= 0 {
		return nil, ErrNoDevice
	}
	if count > maxDevices {
		return nil, fmt.Errorf("the CUDA driver counts %d devices, more than the %d that a machine can have", count, maxDevices)
	}
	devices := make([]Device, count)
	for i := range devices {
		var err error
		if devices[i], err = d.device(int32(i)); err != nil {
			return nil, fmt.Errorf("reading device %d: %w", i, err)
		}
	}
	return devices, nil
}

func (d *Driver) device(ordinal int32) (Device, error) {
	var out Device
	var name, address [256]byte
	var major, minor, l2 int32
	var memory uint64
	if err := d.check("cuDeviceGet", d.calls.deviceGet(&out.handle, ordinal)); err != nil {
		return out, err
	}
	err := errors.Join(
		d.check("cuDeviceGetName", d.calls.deviceName(&name[0], int32(len(name)-1), out.handle)),
		d.check("cuDeviceTotalMem_v2", d.calls.deviceMemory(&memory, out.handle)),
		d.check("cuDeviceGetAttribute", d.calls.attribute(&major, attributeCapability, out.handle)),
		d.check("cuDeviceGetAttribute", d.calls.attribute(&minor, attributeCapabilityLo, out.handle)),
	)
	if err != nil {
		return out, err
	}
	out.Name, out.Major, out.Minor = text(name[:]), int(major), int(minor)
	if err := d.identify(&out); err != nil {
		return out, err
	}
	if memory < 1<<60 {
		out.MemoryBytes = int64(memory)
	}
	// Neither is needed for measuring.
	if d.calls.attribute(&l2, attributeL2Bytes, out.handle) == codeSuccess && l2 > 0 {
		out.L2Bytes = int64(l2)
	}
	if d.calls.pciAddress(&address[0], int32(len(address)-1), out.handle) == codeSuccess {
		out.PCIAddress = strings.ToLower(text(address[:]))
	}
	return out, nil
}

// identify reads the UUID of a device whose name is known. The newer call gives a MIG instance its own and the
// older one that of its GPU, so that a difference tells a slice.
func (d *Driver) identify(device *Device) error {
	var gpu, own [16]byte
	if err := d.check("cuDeviceGetUuid", d.calls.oldDeviceUUID(&gpu[0], device.handle)); err != nil {
		return err
	}
	own = gpu
	if d.calls.deviceUUID != nil {
		if err := d.check("cuDeviceGetUuid_v2", d.calls.deviceUUID(&own[0], device.handle)); err != nil {
			return err
		}
	}
	prefix := "GPU-"
	// An instance has its profile in its name, too, behind this word.
	if device.Slice = own != gpu || strings.Contains(device.Name, " MIG "); device.Slice {
		prefix = "MIG-"
	}
	digits := hex.EncodeToString(own[:])
	device.UUID = prefix + strings.Join([]string{digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]}, "-")
	return nil
}

// CanAccessPeer is whether from can reach the memory of to directly.
func (d *Driver) CanAccessPeer(from, to Device) (bool, error) {
	var can int32
	err := d.check("cuDeviceCanAccessPeer", d.calls.canAccessPeer(&can, from.handle, to.handle))
	return can != 0, err
}

// check turns a result into an error.
func (d *Driver) check(call string, code int32) error {
	if code == codeSuccess {
		return nil
	}
	var name unsafe.Pointer
	if d.calls.errorName(code, &name) != codeSuccess || name == nil {
		return &CallError{Call: call, Name: "unknown error", Code: code}
	}
	return &CallError{Call: call, Name: cString(name), Code: code}
}

// maxCString bounds what is read of a string that a library owns.
const maxCString = 128

func cString(start unsafe.Pointer) string {
	for length := range maxCString {
		if *(*byte)(unsafe.Add(start, length)) == 0 {
			return string(unsafe.Slice((*byte)(start), length))
		}
	}
	return string(unsafe.Slice((*byte)(start), maxCString))
}

// text cuts at the end of a C string and drops what cannot be printed.
func text(raw []byte) string {
	if end := bytes.IndexByte(raw, 0); end >= 0 {
		raw = raw[:end]
	}
	printable := func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}
	return strings.Map(printable, string(raw))
}
