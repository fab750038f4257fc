package nvml

// required are the functions that every supported driver has, the oldest being of
// the R450 branch. A library that lacks one is not opened.
var required = []string{
	"nvmlDeviceGetCount_v2",
	"nvmlDeviceGetCudaComputeCapability",
	"nvmlDeviceGetFieldValues",
	"nvmlDeviceGetGpuInstanceProfileInfo",
	"nvmlDeviceGetHandleByIndex_v2",
	"nvmlDeviceGetMaxMigDeviceCount",
	"nvmlDeviceGetMigDeviceHandleByIndex",
	"nvmlDeviceGetMigMode",
	"nvmlDeviceGetName",
	"nvmlDeviceGetNvLinkRemotePciInfo_v2",
	"nvmlDeviceGetNvLinkState",
	"nvmlDeviceGetNvLinkVersion",
	"nvmlDeviceGetP2PStatus",
	"nvmlDeviceGetPciInfo_v3",
	"nvmlDeviceGetRemappedRows",
	"nvmlDeviceGetSupportedEventTypes",
	"nvmlDeviceGetTopologyCommonAncestor",
	"nvmlDeviceGetTotalEccErrors",
	"nvmlDeviceGetUUID",
	"nvmlDeviceGetUtilizationRates",
	"nvmlDeviceRegisterEvents",
	"nvmlErrorString",
	"nvmlEventSetCreate",
	"nvmlEventSetFree",
	"nvmlEventSetWait_v2",
	"nvmlInit_v2",
	"nvmlShutdown",
	"nvmlSystemGetDriverVersion",
}

// The functions that only some drivers have. Each call stands behind Driver.has.
const (
	// Newer drivers have these.
	symbolAttributes       = "nvmlDeviceGetAttributes_v2"
	symbolClocksReasons    = "nvmlDeviceGetCurrentClocksEventReasons"
	symbolFabricInfo       = "nvmlDeviceGetGpuFabricInfo"
	symbolFabricInfoV      = "nvmlDeviceGetGpuFabricInfoV"
	symbolMemoryAffinity   = "nvmlDeviceGetMemoryAffinity"
	symbolMemoryInfo2      = "nvmlDeviceGetMemoryInfo_v2"
	symbolPlatformInfo     = "nvmlDeviceGetPlatformInfo"
	symbolProcesses3       = "nvmlDeviceGetComputeRunningProcesses_v3"
	symbolProfileInfoV     = "nvmlDeviceGetGpuInstanceProfileInfoV"
	symbolRemoteDeviceType = "nvmlDeviceGetNvLinkRemoteDeviceType"
	symbolTemperatureV     = "nvmlDeviceGetTemperatureV"

	// Older drivers have these; a newer one may have dropped what it replaces.
	symbolMemoryInfo      = "nvmlDeviceGetMemoryInfo"
	symbolProcesses       = "nvmlDeviceGetComputeRunningProcesses"
	symbolTemperature     = "nvmlDeviceGetTemperature"
	symbolThrottleReasons = "nvmlDeviceGetCurrentClocksThrottleReasons"
)

// added and deprecated are the above.
var (
	added = []string{
		symbolAttributes, symbolClocksReasons, symbolFabricInfo, symbolFabricInfoV, symbolMemoryAffinity,
		symbolMemoryInfo2, symbolPlatformInfo, symbolProcesses3, symbolProfileInfoV, symbolRemoteDeviceType, symbolTemperatureV,
	}
	deprecated = []string{symbolMemoryInfo, symbolProcesses, symbolTemperature, symbolThrottleReasons}
)
