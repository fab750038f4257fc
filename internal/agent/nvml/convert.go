//go:build cgo

package nvml

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	gonvml "github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

const (
	// maxText bounds names and UUIDs in bytes, as the library does.
	maxText = 96
	// maxProblem bounds what a problem says, in bytes.
	maxProblem = 200
	// maxMemory is more than any device has, in bytes.
	maxMemory = 1 << 50
	// maxGbps is more than any link carries.
	maxGbps = 100_000
)

// describe says in words what a call returned. The library's text is copied: it
// does not outlive the library.
func describe(ret gonvml.Return) string {
	return printable(fmt.Sprintf("%s (NVML error %d)", ret.Error(), int32(ret)), maxText)
}

// printable cuts text to a number of bytes and replaces what cannot be printed.
func printable(text string, limit int) string {
	var out strings.Builder
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = '?'
		}
		if out.Len()+utf8.RuneLen(r) > limit {
			break
		}
		out.WriteRune(r)
	}
	return strings.TrimSpace(out.String())
}

// isIdentifier says whether text can name a device.
func isIdentifier(text string) bool {
	return text != "" && len(text) <= maxText && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// cString reads text that ends with a zero byte.
func cString(bytes []int8) string {
	var out strings.Builder
	for _, b := range bytes {
		if b == 0 {
			break
		}
		out.WriteByte(byte(b))
	}
	return out.String()
}

// pciAddress puts a PCI address into the form of the kernel: lower case, and a
// domain of four digits where they are enough. It returns "" for what is none and
// for address 0000:00:00.0, which the library gives for a device it cannot place.
func pciAddress(text string) string {
	domain, rest, ok := strings.Cut(text, ":")
	bus, rest, ok2 := strings.Cut(rest, ":")
	device, function, ok3 := strings.Cut(rest, ".")
	if !ok || !ok2 || !ok3 {
		return ""
	}
	var numbers [4]uint64
	for i, part := range []struct {
		text string
		high uint64
	}{{domain, math.MaxUint32}, {bus, 0xff}, {device, 0x1f}, {function, 7}} {
		number, err := strconv.ParseUint(part.text, 16, 32)
		if err != nil || number > part.high {
			return ""
		}
		numbers[i] = number
	}
	if numbers == [4]uint64{} {
		return ""
	}
	return fmt.Sprintf("%04x:%02x:%02x.%x", numbers[0], numbers[1], numbers[2], numbers[3])
}

// pciID returns vendor:device out of the library's number, which holds the device
// in its upper half.
func pciID(number uint32) string {
	if number == 0 {
		return ""
	}
	return fmt.Sprintf("%04x:%04x", number&0xffff, number>>16)
}

// bytesOf returns a number of bytes, Unknown for one that cannot be.
func bytesOf(number uint64) int64 {
	if number > maxMemory {
		return machine.Unknown
	}
	return int64(number)
}

// numberOf reads a field value that is a count. It is false for a field that the
// driver does not know, and for what is no count.
func numberOf(field *gonvml.FieldValue) (uint64, bool) {
	if gonvml.Return(field.NvmlReturn) != gonvml.SUCCESS {
		return 0, false
	}
	var number uint64
	for i, b := range field.Value {
		number |= uint64(b) << (8 * i)
	}
	switch gonvml.ValueType(field.ValueType) {
	case gonvml.VALUE_TYPE_DOUBLE:
		value := math.Float64frombits(number)
		if !(value >= 0 && value <= math.MaxUint32) { // Not a number is neither.
			return 0, false
		}
		return uint64(value), true
	case gonvml.VALUE_TYPE_UNSIGNED_INT:
		return number & math.MaxUint32, true
	case gonvml.VALUE_TYPE_UNSIGNED_LONG, gonvml.VALUE_TYPE_UNSIGNED_LONG_LONG:
		return number, true
	case gonvml.VALUE_TYPE_SIGNED_LONG_LONG:
		return number, number <= math.MaxInt64
	case gonvml.VALUE_TYPE_SIGNED_INT:
		number &= math.MaxUint32
		return number, number <= math.MaxInt32
	case gonvml.VALUE_TYPE_UNSIGNED_SHORT:
		return number & math.MaxUint16, true
	default:
		return 0, false
	}
}

// gbps turns megabytes per second into gigabits per second, 0 for unknown.
func gbps(megabytes uint64) int {
	if megabytes > maxGbps*1000/8 {
		return 0
	}
	return int((megabytes*8 + 500) / 1000)
}

// linkVersions are the names of the library's numbers.
var linkVersions = map[uint32]string{
	uint32(gonvml.NVLINK_VERSION_1_0): "1.0",
	uint32(gonvml.NVLINK_VERSION_2_0): "2.0",
	uint32(gonvml.NVLINK_VERSION_2_2): "2.2",
	uint32(gonvml.NVLINK_VERSION_3_0): "3.0",
	uint32(gonvml.NVLINK_VERSION_3_1): "3.1",
	uint32(gonvml.NVLINK_VERSION_4_0): "4.0",
	uint32(gonvml.NVLINK_VERSION_5_0): "5.0",
	uint32(gonvml.NVLINK_VERSION_6_0): "6.0",
}

// throttles are the reasons that hold clocks down against the user's will. An
// idle device and clocks that somebody has set are none.
var throttles = []struct {
	mask uint64
	name string
}{
	{gonvml.ClocksEventReasonSwPowerCap, "SwPowerCap"},
	{gonvml.ClocksThrottleReasonHwSlowdown, "HwSlowdown"},
	{gonvml.ClocksEventReasonSwThermalSlowdown, "SwThermalSlowdown"},
	{gonvml.ClocksThrottleReasonHwThermalSlowdown, "HwThermalSlowdown"},
	{gonvml.ClocksThrottleReasonHwPowerBrakeSlowdown, "HwPowerBrakeSlowdown"},
}

func throttleReasons(mask uint64) []string {
	var reasons []string
	for _, reason := range throttles {
		if mask&reason.mask != 0 {
			reasons = append(reasons, reason.name)
		}
	}
	return reasons
}

// recoveryAction names what the driver asks for, "" for nothing.
func recoveryAction(number uint64) string {
	switch number {
	case uint64(gonvml.GPU_RECOVERY_ACTION_NONE):
		return ""
	case uint64(gonvml.GPU_RECOVERY_ACTION_GPU_RESET):
		return "GPUReset"
	case uint64(gonvml.GPU_RECOVERY_ACTION_NODE_REBOOT):
		return "NodeReboot"
	case uint64(gonvml.GPU_RECOVERY_ACTION_DRAIN_P2P):
		return "DrainP2P"
	case uint64(gonvml.GPU_RECOVERY_ACTION_DRAIN_AND_RESET):
		return "DrainAndReset"
	case uint64(gonvml.GPU_RECOVERY_ACTION_RECOVER_IMEX_DOMAIN):
		return "RecoverIMEXDomain"
	}
	if number > math.MaxUint8 {
		return ""
	}
	return "Action" + strconv.FormatUint(number, 10) // A newer driver's.
}

// ancestors name the nearest common part of two GPUs.
var ancestors = map[gonvml.GpuTopologyLevel]string{
	gonvml.TOPOLOGY_INTERNAL:   "PIX",
	gonvml.TOPOLOGY_SINGLE:     "PIX",
	gonvml.TOPOLOGY_MULTIPLE:   "PXB",
	gonvml.TOPOLOGY_HOSTBRIDGE: "PHB",
	gonvml.TOPOLOGY_NODE:       "NODE",
	gonvml.TOPOLOGY_SYSTEM:     "SYS",
}

// onlyNode returns the one NUMA node of a set, Unknown for none or several.
func onlyNode(set []uint) int {
	node := machine.Unknown
	for i, word := range set {
		for bit := range 64 {
			if word>>bit&1 == 0 {
				continue
			}
			if node != machine.Unknown {
				return machine.Unknown
			}
			node = i*64 + bit
		}
	}
	return node
}

// rackID reads the id of a rack, which some makers give as text and others as a
// number. It is "" for zero.
func rackID(id [16]uint8) string {
	text := strings.TrimRight(string(id[:]), "\x00")
	if text == "" || isIdentifier(text) {
		return text
	}
	return hex.EncodeToString(id[:])
}

// migMemory returns the gigabytes in the name of a MIG instance: the eighths of
// the whole device that it has, of the whole gigabytes that the device is sold as.
func migMemory(megabytes uint64, total int64) uint64 {
	if total <= 0 || megabytes > maxMemory>>20 {
		return 0
	}
	const gigabyte = 1 << 30
	eighths := math.Round(float64(megabytes<<20) / float64(total) * 8)
	return uint64(math.Round(eighths / 8 * float64((total+gigabyte-1)/gigabyte)))
}

// migName names a MIG instance as nvidia-smi does, such as "1g.10gb", and
// "1c.3g.40gb" for a compute instance that has a part of its slices.
func migName(slices, computeSlices uint32, megabytes uint64, total int64) string {
	name := fmt.Sprintf("%dg.%dgb", slices, migMemory(megabytes, total))
	if computeSlices > 0 && computeSlices < slices {
		name = fmt.Sprintf("%dc.%s", computeSlices, name)
	}
	return name
}
