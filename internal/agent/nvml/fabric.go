//go:build cgo

package nvml

import (
	"fmt"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

// Health of a fabric, from good to bad.
const (
	fabricHealthy   = "Healthy"
	fabricLimited   = "Limited"
	fabricUnhealthy = "Unhealthy"
)

// fabricInfo asks for the fabric in the newest form that the driver has.
func (g *gpu) fabricInfo() (gonvml.GpuFabricInfo_v3, bool) {
	if g.driver.has[symbolFabricInfoV] {
		forms := g.device.GetGpuFabricInfoV()
		info, ret := forms.V3()
		if ret != gonvml.ERROR_ARGUMENT_VERSION_MISMATCH && ret != gonvml.ERROR_INVALID_ARGUMENT {
			return info, g.ok("fabric", ret)
		}
		older, ret := forms.V2()
		if ret != gonvml.ERROR_ARGUMENT_VERSION_MISMATCH && ret != gonvml.ERROR_INVALID_ARGUMENT {
			return gonvml.GpuFabricInfo_v3{
				ClusterUuid: older.ClusterUuid, Status: older.Status, CliqueId: older.CliqueId,
				State: older.State, HealthMask: older.HealthMask,
			}, g.ok("fabric", ret)
		}
	}
	if !g.driver.has[symbolFabricInfo] {
		return gonvml.GpuFabricInfo_v3{}, false
	}
	oldest, ret := g.device.GetGpuFabricInfo()
	return gonvml.GpuFabricInfo_v3{
		ClusterUuid: oldest.ClusterUuid, Status: oldest.Status, CliqueId: oldest.CliqueId, State: oldest.State,
	}, g.ok("fabric", ret)
}

func (g *gpu) readFabric() {
	info, ok := g.fabricInfo()
	if !ok {
		return
	}
	if g.facts.Fabric = fabricOf(&info); g.facts.Fabric != nil {
		g.facts.Fabric.Rack = g.known.rack
	}
}

// fabricOf is nil for a device that knows no fabric.
func fabricOf(info *gonvml.GpuFabricInfo_v3) *machine.Fabric {
	fabric := &machine.Fabric{CliqueID: info.CliqueId}
	u := info.ClusterUuid
	fabric.ClusterUUID = fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
	switch info.State {
	case gonvml.GPU_FABRIC_STATE_NOT_SUPPORTED:
		return nil
	case gonvml.GPU_FABRIC_STATE_NOT_STARTED:
		fabric.State = "NotStarted"
	case gonvml.GPU_FABRIC_STATE_IN_PROGRESS:
		fabric.State = "InProgress"
	case gonvml.GPU_FABRIC_STATE_COMPLETED:
		fabric.State = "Completed"
		fabric.Health = fabricHealth(info.HealthMask, info.HealthSummary)
		// Completed says that registering has ended, not that it went well.
		if gonvml.Return(info.Status) != gonvml.SUCCESS {
			fabric.Health = fabricUnhealthy
		}
	}
	return fabric
}

// fabricHealth returns the worst of what mask and summary say, "" when they say
// nothing. Most parts of the mask are 1 for "true" and 2 for "false"; the
// configuration is 1 when it is right and more when it is wrong.
func fabricHealth(mask uint32, summary uint8) string {
	part := func(shift, width uint32) uint32 { return mask >> shift & width }
	const yes = gonvml.GPU_FABRIC_HEALTH_MASK_ROUTE_UNHEALTHY_TRUE
	const width = gonvml.GPU_FABRIC_HEALTH_MASK_WIDTH_ROUTE_UNHEALTHY
	configuration := part(gonvml.GPU_FABRIC_HEALTH_MASK_SHIFT_INCORRECT_CONFIGURATION, gonvml.GPU_FABRIC_HEALTH_MASK_WIDTH_INCORRECT_CONFIGURATION)
	switch {
	case summary == gonvml.GPU_FABRIC_HEALTH_SUMMARY_UNHEALTHY,
		part(gonvml.GPU_FABRIC_HEALTH_MASK_SHIFT_ROUTE_UNHEALTHY, width) == yes,
		part(gonvml.GPU_FABRIC_HEALTH_MASK_SHIFT_ROUTE_RECOVERY, width) == yes,
		part(gonvml.GPU_FABRIC_HEALTH_MASK_SHIFT_ACCESS_TIMEOUT_RECOVERY, width) == yes,
		configuration > gonvml.GPU_FABRIC_HEALTH_MASK_INCORRECT_CONFIGURATION_NONE:
		return fabricUnhealthy
	case summary == gonvml.GPU_FABRIC_HEALTH_SUMMARY_LIMITED_CAPACITY,
		part(gonvml.GPU_FABRIC_HEALTH_MASK_SHIFT_DEGRADED_BW, width) == yes:
		return fabricLimited
	case summary == gonvml.GPU_FABRIC_HEALTH_SUMMARY_HEALTHY, mask != 0:
		return fabricHealthy
	default:
		return ""
	}
}
