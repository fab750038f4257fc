package measure

import (
	"time"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// Schema names the form of Report. It changes when a reader of the old form would
// misread the new one.
const Schema = "k8s4ai.io/measure/v1"

// Report is one run on one machine.
type Report struct {
	Schema string `json:"schema"`
	// NodeName is the Node of the machine, "" outside of a cluster.
	NodeName string `json:"nodeName,omitempty"`
	// Time is when the run ended, in UTC.
	Time      time.Time      `json:"time"`
	Libraries Libraries      `json:"libraries"`
	Devices   []DeviceReport `json:"devices"`
}

// Libraries are what the measuring was done with. What was not used is unset.
type Libraries struct {
	// Driver is the path of libcuda, CUDA the newest version that it knows.
	Driver string `json:"driver,omitempty"`
	CUDA   string `json:"cuda,omitempty"`
	// BLAS is the path of cuBLASLt.
	BLAS        string `json:"cublasLt,omitempty"`
	BLASVersion string `json:"cublasLtVersion,omitempty"`
	Files       string `json:"cufile,omitempty"`
}

// DeviceReport is what one accelerator was measured to deliver.
type DeviceReport struct {
	UUID              string `json:"uuid"`
	Name              string `json:"name,omitempty"`
	PCIAddress        string `json:"pciAddress,omitempty"`
	ComputeCapability string `json:"computeCapability,omitempty"`
	MemoryBytes       int64  `json:"memoryBytes,omitempty"`
	// Time is when the measuring of this device ended, in UTC.
	Time time.Time `json:"time"`
	// Skipped says why nothing was measured; unset when something was tried.
	Skipped *Gap     `json:"skipped,omitempty"`
	Figures []Figure `json:"figures,omitempty"`
	// Omitted are the figures that were asked for and are missing.
	Omitted []Gap `json:"omitted,omitempty"`
}

// Figure is one measured throughput.
type Figure struct {
	Name v1alpha1.FigureName `json:"name"`
	// Value is the median of the samples, in the unit of the name.
	Value float64 `json:"value"`
	// Method says how: cuBLASLt, DeviceCopy, PinnedCopy, PeerCopy,
	// GPUDirectStorage or ThroughHost.
	Method string `json:"method"`
	// Samples is the number of repetitions, Lowest and Highest what they range over.
	Samples int     `json:"samples"`
	Lowest  float64 `json:"lowest"`
	Highest float64 `json:"highest"`
	// SpreadPercent is that range against the median.
	SpreadPercent float64 `json:"spreadPercent"`
	// Detail says on what it was measured, such as "16384 x 16384 x 16384".
	Detail string `json:"detail,omitempty"`
	// Peers are the single results of PeerToPeerGBps, of which Value is the worst.
	Peers []PeerFigure `json:"peers,omitempty"`
}

// PeerFigure is the throughput to one other device, in GB/s and one direction.
type PeerFigure struct {
	UUID  string  `json:"uuid"`
	Value float64 `json:"value"`
}

// Reason says in one word why something is missing.
type Reason string

// The reasons.
const (
	// ReasonUnsupported: The device cannot do it at all.
	ReasonUnsupported Reason = "Unsupported"
	// ReasonNoLibrary: A library is missing, too old, or does not start.
	ReasonNoLibrary Reason = "NoLibrary"
	// ReasonOutOfMemory: Device or host are short of memory.
	ReasonOutOfMemory Reason = "OutOfMemory"
	// ReasonDeviceError: A call failed.
	ReasonDeviceError Reason = "DeviceError"
	// ReasonImplausible: The device's clock showed what cannot be.
	ReasonImplausible Reason = "Implausible"
	// ReasonTimeLimit: The time was over.
	ReasonTimeLimit Reason = "TimeLimit"
	// ReasonCancelled: The process was told to stop.
	ReasonCancelled Reason = "Cancelled"
	// ReasonHung: The device or its driver does not come back.
	ReasonHung Reason = "Hung"
	// ReasonNoPeer: No other measured device can be reached directly.
	ReasonNoPeer Reason = "NoPeer"
	// ReasonNoPath: No --nvme-path was given.
	ReasonNoPath Reason = "NoPath"
	// ReasonNotNVMe: The path is not known to lie on an NVMe device.
	ReasonNotNVMe Reason = "NotNVMe"
	// ReasonFileSystem: The scratch file cannot be written or read as needed.
	ReasonFileSystem Reason = "FileSystem"
	// ReasonBusy: Something else uses the device.
	ReasonBusy Reason = "Busy"
	// ReasonSlice: It is a MIG slice, whose figures say nothing about its model.
	ReasonSlice Reason = "MIGSlice"
	// ReasonNotTried: A device before it hung, or the run was cancelled.
	ReasonNotTried Reason = "NotTried"
)

// Gap is something that was asked for and not measured.
type Gap struct {
	// Name is the figure, unset where it is a whole device.
	Name    v1alpha1.FigureName `json:"name,omitempty"`
	Reason  Reason              `json:"reason"`
	Message string              `json:"message,omitempty"`
}

// gapError is a Gap on its way up.
type gapError struct {
	reason  Reason
	message string
}

func (e *gapError) Error() string { return e.message }

// Measured is whether any device has a figure.
func (r Report) Measured() bool {
	for _, d := range r.Devices {
		if len(d.Figures) > 0 {
			return true
		}
	}
	return false
}
