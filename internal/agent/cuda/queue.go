package cuda

import (
	"errors"
	"fmt"
)

// streamNonBlocking keeps the stream apart from the default one.
const streamNonBlocking = 1

// Queue is a stream of work for one device with a stopwatch of the device's own
// clock.
type Queue struct {
	context     *Context
	stream      uintptr
	start, stop uintptr
}

// NewQueue makes a queue on the context's device, which must be the current one.
func (c *Context) NewQueue() (*Queue, error) {
	q := &Queue{context: c}
	if err := c.driver.check("cuStreamCreate", c.driver.calls.streamCreate(&q.stream, streamNonBlocking)); err != nil {
		return nil, err
	}
	for _, event := range []*uintptr{&q.start, &q.stop} {
		if err := c.driver.check("cuEventCreate", c.driver.calls.eventCreate(event, 0)); err != nil {
			return nil, errors.Join(err, q.Close())
		}
	}
	return q, nil
}

// Close gives the queue back.
func (q *Queue) Close() error {
	d := q.context.driver
	var failures []error
	for _, event := range []uintptr{q.start, q.stop} {
		if event != 0 {
			failures = append(failures, d.check("cuEventDestroy_v2", d.calls.eventDestroy(event)))
		}
	}
	return errors.Join(append(failures, d.check("cuStreamDestroy_v2", d.calls.streamDestroy(q.stream)))...)
}

// CopyToDevice queues a copy of the first bytes of from to an offset of to.
func (q *Queue) CopyToDevice(to Memory, offset int64, from HostMemory, bytes int64) error {
	if offset < 0 || bytes < 0 || bytes > from.bytes || offset > to.Bytes-bytes {
		return fmt.Errorf("copying %d bytes to offset %d of %d: out of bounds", bytes, offset, to.Bytes)
	}
	d := q.context.driver
	return d.check("cuMemcpyHtoDAsync_v2", d.calls.toDevice(to.address+uintptr(offset), from.start, uint64(bytes), q.stream))
}

// Copy queues a copy of all of from, which to must hold, on the device.
func (q *Queue) Copy(to, from Memory) error {
	if from.Bytes > to.Bytes {
		return fmt.Errorf("copying %d bytes to %d: out of bounds", from.Bytes, to.Bytes)
	}
	d := q.context.driver
	return d.check("cuMemcpyDtoDAsync_v2", d.calls.onDevice(to.address, from.address, uint64(from.Bytes), q.stream))
}

// CopyToPeer queues a copy of all of from to memory of another device.
func (q *Queue) CopyToPeer(peer *Context, to, from Memory) error {
	if from.Bytes > to.Bytes {
		return fmt.Errorf("copying %d bytes to %d: out of bounds", from.Bytes, to.Bytes)
	}
	d := q.context.driver
	return d.check("cuMemcpyPeerAsync",
		d.calls.toPeer(to.address, peer.handle, from.address, q.context.handle, uint64(from.Bytes), q.stream))
}

// Start queues the start of the stopwatch.
func (q *Queue) Start() error {
	return q.context.driver.check("cuEventRecord", q.context.driver.calls.eventRecord(q.start, q.stream))
}

// Stop queues its end.
func (q *Queue) Stop() error {
	return q.context.driver.check("cuEventRecord", q.context.driver.calls.eventRecord(q.stop, q.stream))
}

// Stopped is whether the device has come to the end of the stopwatch. It does not
// wait, so that a device that hangs cannot hold the caller.
func (q *Queue) Stopped() (bool, error) {
	code := q.context.driver.calls.eventQuery(q.stop)
	if code == codeNotReady {
		return false, nil
	}
	return code == codeSuccess, q.context.driver.check("cuEventQuery", code)
}

// Seconds is what the stopwatch shows. The value is the device's and unchecked: it
// can be 0, negative or not a number on a broken device.
func (q *Queue) Seconds() (float64, error) {
	var milliseconds float32
	err := q.context.driver.check("cuEventElapsedTime", q.context.driver.calls.elapsed(&milliseconds, q.start, q.stop))
	return float64(milliseconds) / 1e3, err
}
