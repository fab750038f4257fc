package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AcceleratorClassSpec is the capability profile of one accelerator: what it
// is, how to recognise it, what its maker says it can do, and what may stand in
// for it. A figure without a source is left out rather than guessed.
//
// +kubebuilder:validation:XValidation:rule="!has(self.figures) || self.figures.all(f, has(f.source) || (has(self.sources) && self.sources.exists(s, s.field == f.name)))",message="every figure needs a source: set figures[].source, or add an entry to sources with the figure's name in field"
type AcceleratorClassSpec struct {
	// vendor is the maker, such as "NVIDIA" or "AMD".
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Vendor string `json:"vendor,omitempty"`

	// family is the architecture, such as "Hopper".
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Family string `json:"family,omitempty"`

	// model is the product, such as "H100 SXM5 80GB".
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=127
	Model string `json:"model,omitempty"`

	// resourceName is the extended resource by which nodes offer devices of the
	// class. Unset means nvidia.com/gpu for vendor NVIDIA and amd.com/gpu for
	// vendor AMD; for another vendor the class counts devices from reports and DRA
	// only.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ResourceName string `json:"resourceName,omitempty"`

	// match says how a device of the class is recognised.
	//
	// +required
	Match AcceleratorMatch `json:"match,omitzero"`

	// memory describes the device memory.
	//
	// +optional
	Memory *AcceleratorMemory `json:"memory,omitempty"`

	// figures are the datasheet's throughput figures, dense (without sparsity).
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Figures []AcceleratorFigure `json:"figures,omitempty"`

	// features are capabilities without a number, such as "BF16", "FP8", "NVFP4",
	// "MIG" or "GPUDirectRDMA".
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Features []string `json:"features,omitempty"`

	// interconnect describes the link between devices.
	//
	// +optional
	Interconnect *AcceleratorInterconnect `json:"interconnect,omitempty"`

	// host describes the link to the host.
	//
	// +optional
	Host *AcceleratorHost `json:"host,omitempty"`

	// tdpWatts is the thermal design power of one device.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	TDPWatts int32 `json:"tdpWatts,omitempty"`

	// computeCapability is the CUDA compute capability, such as "9.0", or the gfx
	// name of an AMD device.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	ComputeCapability string `json:"computeCapability,omitempty"`

	// migProfiles are the MIG profiles that the device offers, smallest first.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=32
	MIGProfiles []string `json:"migProfiles,omitempty"`

	// cost is an example price of one device.
	//
	// +optional
	Cost *AcceleratorCost `json:"cost,omitempty"`

	// fallback are the AcceleratorClasses that may stand in for this one when a
	// role asks for it, in order of preference.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	Fallback []string `json:"fallback,omitempty"`

	// sources say where figures come from.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Sources []FigureSource `json:"sources,omitempty"`
}

// AcceleratorMatch recognises devices. The kinds of evidence are tried in the
// order of the fields, first what a node agent reports of the device; the first
// kind that any class recognises decides.
//
// +kubebuilder:validation:XValidation:rule="has(self.pciIDs) || has(self.productNames) || has(self.deviceSelector) || has(self.nodeLabels)",message="match needs at least one of pciIDs, productNames, deviceSelector and nodeLabels: otherwise no device is ever of this class"
// +kubebuilder:validation:XValidation:rule="!has(self.minMemory) || has(self.pciIDs) || has(self.productNames)",message="minMemory narrows pciIDs and productNames and nothing else: add one of them, or remove minMemory"
type AcceleratorMatch struct {
	// pciIDs are vendor:device in lower-case hexadecimal, such as "10de:2330", as
	// node agents report them.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=9
	// +kubebuilder:validation:items:MaxLength=9
	// +kubebuilder:validation:items:Pattern=`^[0-9a-f]{4}:[0-9a-f]{4}$`
	PCIIDs []string `json:"pciIDs,omitempty"`

	// productNames are what the driver calls the device, such as "NVIDIA L40S",
	// compared byte by byte. Beside pciIDs both have to hold.
	//
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	ProductNames []string `json:"productNames,omitempty"`

	// minMemory narrows pciIDs and productNames to devices with at least this
	// much memory, for products that share them. Unset means any.
	//
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="minMemory must be more than 0: write the least memory of one device, such as 80Gi, or remove it"
	MinMemory *resource.Quantity `json:"minMemory,omitempty"`

	// deviceSelector is a CEL expression over a device of a DRA ResourceSlice, as
	// in a DeviceClass. It should select whole devices, and no partitions of one.
	// An expression that fails on a device does not select it.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	DeviceSelector string `json:"deviceSelector,omitempty"`

	// nodeLabels recognise nodes whose devices are all of the class. One matching
	// entry is enough.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	NodeLabels []NodeLabelMatch `json:"nodeLabels,omitempty"`
}

// NodeLabelMatch is a node label with the values that match.
type NodeLabelMatch struct {
	// key is the label, such as "nvidia.com/gpu.product".
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	Key string `json:"key,omitempty"`

	// values are the label values that match, compared byte by byte.
	//
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MinLength=0
	// +kubebuilder:validation:items:MaxLength=63
	Values []string `json:"values,omitempty"`
}

// AcceleratorMemory describes device memory.
type AcceleratorMemory struct {
	// capacity is the memory of one device, such as "80Gi".
	//
	// +required
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="capacity must be more than 0: write the memory of one device, such as 80Gi"
	Capacity *resource.Quantity `json:"capacity,omitempty"`

	// type is the kind of memory, such as "HBM3".
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	Type string `json:"type,omitempty"`
}

// FigureName names one throughput of an accelerator, with its unit.
//
// +kubebuilder:validation:Enum=BF16TeraFLOPS;FP16TeraFLOPS;FP8TeraFLOPS;FP4TeraFLOPS;FP64TeraFLOPS;INT8TeraOPS;MemoryGBps;HostToDeviceGBps;PeerToPeerGBps;NVMeToDeviceGBps;AllReduceGBps
type FigureName string

// The figures of an accelerator. TeraFLOPS are 10^12 operations per second,
// GBps are 10^9 bytes per second.
const (
	FigureBF16            FigureName = "BF16TeraFLOPS"
	FigureFP16            FigureName = "FP16TeraFLOPS"
	FigureFP8             FigureName = "FP8TeraFLOPS"
	FigureFP4             FigureName = "FP4TeraFLOPS"
	FigureFP64            FigureName = "FP64TeraFLOPS"
	FigureINT8            FigureName = "INT8TeraOPS"
	FigureMemoryBandwidth FigureName = "MemoryGBps"
	FigureHostToDevice    FigureName = "HostToDeviceGBps"
	FigurePeerToPeer      FigureName = "PeerToPeerGBps"
	FigureNVMeToDevice    FigureName = "NVMeToDeviceGBps"
	FigureAllReduce       FigureName = "AllReduceGBps"
)

// AcceleratorFigure is one datasheet figure.
type AcceleratorFigure struct {
	// name says what is measured and in which unit.
	//
	// +required
	Name FigureName `json:"name,omitempty"`

	// value is the figure, such as "989" or "1307.4".
	//
	// +required
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="value must be more than 0: write the number without a unit, such as 989, or remove the figure when none is known"
	Value *resource.Quantity `json:"value,omitempty"`

	// source says where the figure comes from. Unset means that sources does.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Source string `json:"source,omitempty"`
}

// AcceleratorInterconnect is the link between devices of the class.
type AcceleratorInterconnect struct {
	// kind is the technology, such as "NVLink" or "InfinityFabric".
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind,omitempty"`

	// generation counts the versions of the technology.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=99
	Generation int32 `json:"generation,omitempty"`

	// bandwidthGBps is the bandwidth of one device, both directions together, in
	// gigabytes per second.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	BandwidthGBps int64 `json:"bandwidthGBps,omitempty"`

	// domainSize is the largest number of devices that the link joins.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	DomainSize int32 `json:"domainSize,omitempty"`
}

// AcceleratorHost is the link between a device and its host.
type AcceleratorHost struct {
	// pcieGeneration is the PCI Express generation.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=9
	PCIeGeneration int32 `json:"pcieGeneration,omitempty"`

	// pcieLanes is the number of lanes.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=32
	PCIeLanes int32 `json:"pcieLanes,omitempty"`
}

// AcceleratorCost is a price of one device.
//
// +kubebuilder:validation:XValidation:rule="has(self.hourly) || has(self.spotHourly)",message="cost needs hourly or spotHourly: remove cost when no price is known"
type AcceleratorCost struct {
	// currency is the ISO 4217 code, such as "USD".
	//
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=3
	// +kubebuilder:validation:Pattern=`^[A-Z]{3}$`
	Currency string `json:"currency,omitempty"`

	// hourly is the price of one device for one hour.
	//
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="hourly must be more than 0: correct it, or remove it when no price is known"
	Hourly *resource.Quantity `json:"hourly,omitempty"`

	// spotHourly is the same for interruptible capacity.
	//
	// +optional
	// +kubebuilder:validation:XIntOrString
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="spotHourly must be more than 0: correct it, or remove it when no price is known"
	SpotHourly *resource.Quantity `json:"spotHourly,omitempty"`

	// provider is who asks the price, such as "DigitalOcean".
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Provider string `json:"provider,omitempty"`

	// region is where the price holds.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Region string `json:"region,omitempty"`
}

// FigureSource says where a fact of the profile comes from.
type FigureSource struct {
	// field is the figure's name, or the path of a field of spec such as
	// "memory.capacity".
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=127
	Field string `json:"field,omitempty"`

	// source is a document or URL.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Source string `json:"source,omitempty"`

	// retrieved is the day on which it was read, as YYYY-MM-DD.
	//
	// +optional
	// +kubebuilder:validation:MinLength=10
	// +kubebuilder:validation:MaxLength=10
	// +kubebuilder:validation:Pattern=`^\d{4}-\d{2}-\d{2}$`
	Retrieved string `json:"retrieved,omitempty"`
}

// AcceleratorClassStatus is where devices of the class are and what they
// really deliver.
//
// +kubebuilder:validation:MinProperties=1
type AcceleratorClassStatus struct {
	// conditions are Ready, Reconciling, Stalled and FigureDrift.
	//
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// nodes is the number of nodes with a device of the class.
	//
	// +optional
	// +kubebuilder:validation:Minimum=0
	Nodes *int32 `json:"nodes,omitempty"`

	// devices counts the devices of the class.
	//
	// +optional
	Devices *DeviceCounts `json:"devices,omitempty"`

	// measured are figures taken on the devices, beside the datasheet's.
	//
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Measured []MeasuredFigure `json:"measured,omitempty"`

	// outliers are devices that deliver far less than their class, the worst
	// first.
	//
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Outliers []OutlierDevice `json:"outliers,omitempty"`
}

// MeasuredFigure is the spread of one figure over the devices of a class.
type MeasuredFigure struct {
	// name says what was measured and in which unit.
	//
	// +required
	Name FigureName `json:"name,omitempty"`

	// method is how the samples were taken, such as "cuBLASLt". Devices that were
	// measured in another way are not among them. Unset means that nobody says.
	//
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Method string `json:"method,omitempty"`

	// p10 is reached by nine devices in ten. It is a value that a device has
	// delivered, as p50 and p90 are.
	//
	// +required
	P10 *resource.Quantity `json:"p10,omitempty"`

	// p50 is the median.
	//
	// +required
	P50 *resource.Quantity `json:"p50,omitempty"`

	// p90 is reached by one device in ten.
	//
	// +required
	P90 *resource.Quantity `json:"p90,omitempty"`

	// efficiencyPercent is p50 against the datasheet. Unset when the datasheet
	// has no such figure.
	//
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	EfficiencyPercent int32 `json:"efficiencyPercent,omitempty"`

	// samples is the number of devices measured.
	//
	// +required
	// +kubebuilder:validation:Minimum=1
	Samples int32 `json:"samples,omitempty"`

	// time is when the newest sample was taken.
	//
	// +optional
	Time *metav1.Time `json:"time,omitempty"`
}

// OutlierDevice is one device that delivers far less than its class.
type OutlierDevice struct {
	// nodeName is the machine of the device.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName,omitempty"`

	// uuid is the device.
	//
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	UUID string `json:"uuid,omitempty"`

	// figure is what falls short.
	//
	// +required
	Figure FigureName `json:"figure,omitempty"`

	// percentOfMedian is the device's figure against the class's p50.
	//
	// +required
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	PercentOfMedian *int32 `json:"percentOfMedian,omitempty"`
}

// AcceleratorClass is the capability profile of one accelerator.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=ac,categories=k8s4ai
// +kubebuilder:printcolumn:name="Model",type=string,JSONPath=`.spec.model`
// +kubebuilder:printcolumn:name="Memory",type=string,JSONPath=`.spec.memory.capacity`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes`
// +kubebuilder:printcolumn:name="Devices",type=integer,JSONPath=`.status.devices.total`
// +kubebuilder:printcolumn:name="Free",type=integer,JSONPath=`.status.devices.free`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="the name becomes a node label: use at most 63 lower-case letters, digits and dashes",fieldPath=".metadata"
// +kubebuilder:validation:XValidation:rule="!has(self.spec.fallback) || !self.spec.fallback.exists(f, f == self.metadata.name)",message="a class cannot be its own fallback: remove its name from fallback",fieldPath=".spec.fallback"
type AcceleratorClass struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	//
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the capability profile.
	//
	// +required
	Spec AcceleratorClassSpec `json:"spec,omitzero"`

	// status is where devices of the class are and what they deliver.
	//
	// +optional
	Status AcceleratorClassStatus `json:"status,omitzero"`
}

// AcceleratorClassList is a list of AcceleratorClasses.
//
// +kubebuilder:object:root=true
type AcceleratorClassList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []AcceleratorClass `json:"items"`
}
