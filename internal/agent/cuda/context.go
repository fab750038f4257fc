package cuda

import (
	"errors"
	"unsafe"
)

// Context is a device in use by this process. It is the device's primary context,
// which cuBLASLt and cuFile use, too.
type Context struct {
	driver *Driver
	device Device
	handle uintptr
}

// Memory is a range of device memory.
type Memory struct {
	address uintptr
	// Bytes is the size.
	Bytes int64
}

// HostMemory is a range of host memory that the device reads directly.
type HostMemory struct {
	start unsafe.Pointer
	bytes int64
}

// Bytes is the memory itself. It ends with FreeHost.
func (m HostMemory) Bytes() []byte { return unsafe.Slice((*byte)(m.start), m.bytes) }

// Attach takes a device into use and makes it the current one of this thread.
func (d *Driver) Attach(device Device) (*Context, error) {
	c := &Context{driver: d, device: device}
	if err := d.check("cuDevicePrimaryCtxRetain", d.calls.retain(&c.handle, device.handle)); err != nil {
		return nil, err
	}
	if err := c.Use(); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Use makes the device the current one of this thread.
func (c *Context) Use() error {
	return c.driver.check("cuCtxSetCurrent", c.driver.calls.setCurrent(c.handle))
}

// Close gives the device back. Memory and queues of the context must be gone.
func (c *Context) Close() error {
	return errors.Join(
		c.driver.check("cuCtxSetCurrent", c.driver.calls.setCurrent(0)),
		c.driver.check("cuDevicePrimaryCtxRelease_v2", c.driver.calls.release(c.device.handle)),
	)
}

// MemoryInfo is how much memory is free and how much there is, in bytes, over all
// processes.
func (c *Context) MemoryInfo() (free, total int64, err error) {
	var f, t uint64
	if err := c.driver.check("cuMemGetInfo_v2", c.driver.calls.memoryInfo(&f, &t)); err != nil {
		return 0, 0, err
	}
	if f > t || t > 1<<60 {
		return 0, 0, &CallError{Call: "cuMemGetInfo_v2", Name: "more memory free than there is", Code: codeSuccess}
	}
	return int64(f), int64(t), nil
}

// Alloc takes device memory.
func (c *Context) Alloc(bytes int64) (Memory, error) {
	m := Memory{Bytes: bytes}
	err := c.driver.check("cuMemAlloc_v2", c.driver.calls.alloc(&m.address, uint64(bytes)))
	return m, err
}

// Free gives device memory back. It waits for work that uses it.
func (c *Context) Free(m Memory) error {
	return c.driver.check("cuMemFree_v2", c.driver.calls.free(m.address))
}

// AllocHost takes pinned host memory.
func (c *Context) AllocHost(bytes int64) (HostMemory, error) {
	m := HostMemory{bytes: bytes}
	err := c.driver.check("cuMemAllocHost_v2", c.driver.calls.allocHost(&m.start, uint64(bytes)))
	return m, err
}

// FreeHost gives pinned host memory back.
func (c *Context) FreeHost(m HostMemory) error {
	return c.driver.check("cuMemFreeHost", c.driver.calls.freeHost(m.start))
}

// EnablePeer lets this device, which must be the current one, reach the memory of
// the peer. Without it a copy between the two goes through the host.
func (c *Context) EnablePeer(peer *Context) error {
	code := c.driver.calls.enablePeer(peer.handle, 0)
	if code == codePeerAlreadyEnabled {
		return nil
	}
	return c.driver.check("cuCtxEnablePeerAccess", code)
}

// Len is the size in bytes, 0 for the zero value.
func (m HostMemory) Len() int64 { return m.bytes }

// Part is a range of m, which must hold it.
func (m HostMemory) Part(offset, bytes int64) HostMemory {
	part := m.Bytes()[offset : offset+bytes]
	return HostMemory{start: unsafe.Pointer(&part[0]), bytes: bytes}
}
