//go:build cgo

package nvml

import (
	"context"
	"time"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"
)

const (
	// wantedEvents leaves single-bit errors out: the device corrects them, Read
	// counts none, and a worn device reports thousands.
	wantedEvents = gonvml.EventTypeXidCriticalError | gonvml.EventTypeDoubleBitEccError
	// xidDoubleBit is the Xid of a double-bit error. Drivers that report it as an
	// event of its own mean the same.
	xidDoubleBit = 48
	// eventPause is between two attempts to listen after a failure.
	eventPause = 5 * time.Second
	// listenAgain is how often a machine is asked anew whose devices have no events.
	listenAgain = time.Minute
)

// Events calls report for every Xid until ctx is done or the driver is closed,
// after which it returns within 5 seconds. An Xid that came before is not
// reported. A GPU that is lost or has no events does not keep the others silent.
func (d *Driver) Events(ctx context.Context, report func(uuid string, xid uint64)) {
	d.inUse.RLock()
	defer d.inUse.RUnlock()
	for wasFailing := false; !d.isDone(ctx); {
		heard, ret := d.listen(ctx, report)
		switch {
		case ret == gonvml.SUCCESS:
			d.pause(ctx, listenAgain)
		case wasFailing && !heard:
			d.pause(ctx, eventPause)
		}
		// Listening anew leaves out what has failed. The first time, that is done at
		// once: an Xid that comes in between is missed.
		wasFailing = ret != gonvml.SUCCESS && !heard
	}
}

func (d *Driver) isDone(ctx context.Context) bool { return ctx.Err() != nil || d.isClosing() }

func (d *Driver) pause(ctx context.Context, length time.Duration) {
	timer := time.NewTimer(length)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-d.closing:
	case <-timer.C:
	}
}

// listen registers all GPUs and waits until it is done or something fails. heard
// is true when at least one wait went well, and ret is SUCCESS when no GPU has
// events.
func (d *Driver) listen(ctx context.Context, report func(uuid string, xid uint64)) (heard bool, ret gonvml.Return) {
	set, ret := d.library.EventSetCreate()
	if ret != gonvml.SUCCESS {
		return false, ret
	}
	defer func() { _ = set.Free() }() // What fails here, fails again in the next set.
	uuids := d.register(set)
	if len(uuids) == 0 {
		return false, gonvml.SUCCESS
	}
	for !d.isDone(ctx) {
		event, ret := set.Wait(d.wait)
		switch ret {
		case gonvml.SUCCESS:
			heard = true
			if uuid, xid := xidOf(&event, uuids); uuid != "" {
				report(uuid, xid)
			}
		case gonvml.ERROR_TIMEOUT:
			heard = true
		default:
			return heard, ret
		}
	}
	return heard, gonvml.ERROR_TIMEOUT
}

// register asks for the events of all GPUs that have them, and returns those by
// their handles.
func (d *Driver) register(set gonvml.EventSet) map[gonvml.Device]string {
	uuids := map[gonvml.Device]string{}
	count, ret := d.library.DeviceGetCount()
	if ret != gonvml.SUCCESS {
		return uuids
	}
	for i := range min(count, maxGPUs) {
		device, ret := d.library.DeviceGetHandleByIndex(i)
		if ret != gonvml.SUCCESS {
			continue
		}
		uuid, ret := device.GetUUID()
		if ret != gonvml.SUCCESS || !isIdentifier(uuid) {
			continue
		}
		types, ret := device.GetSupportedEventTypes()
		if ret != gonvml.SUCCESS || types&wantedEvents == 0 {
			continue
		}
		if device.RegisterEvents(types&wantedEvents, set) == gonvml.SUCCESS {
			uuids[device] = uuid
		}
	}
	return uuids
}

// xidOf returns the GPU and the Xid of an event, "" for an event that is none. A
// lost GPU does not tell its UUID any more; its handle is the one registered.
func xidOf(event *gonvml.EventData, uuids map[gonvml.Device]string) (uuid string, xid uint64) {
	uuid = uuids[event.Device]
	if uuid == "" && event.Device != nil {
		if told, ret := event.Device.GetUUID(); ret == gonvml.SUCCESS && isIdentifier(told) {
			uuid = told
		}
	}
	switch event.EventType {
	case gonvml.EventTypeXidCriticalError:
		return uuid, event.EventData
	case gonvml.EventTypeDoubleBitEccError:
		return uuid, xidDoubleBit
	default:
		return "", 0
	}
}
