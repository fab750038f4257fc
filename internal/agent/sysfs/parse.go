package sysfs

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// numbered returns the number of a name that is a prefix and a decimal number,
// such as node12.
func numbered(name, prefix string) (int, bool) {
	digits, found := strings.CutPrefix(name, prefix)
	if !found || !isDigits(digits) {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	return int(n), err == nil
}

func isDigits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

func isHex(text string) bool {
	return text != "" && strings.Trim(text, "0123456789abcdef") == ""
}

// parseState turns "4: ACTIVE" into Active. Everything that is neither up nor on
// the way up is Unknown.
func parseState(text string) string {
	switch number, _, _ := strings.Cut(text, ":"); number {
	case "4":
		return "Active"
	case "1", "2", "3": // down, initialising, armed
		return "Down"
	default:
		return "Unknown"
	}
}

// maxGbps is above every port that exists, and what a report can carry.
const maxGbps = 100000

// parseRate turns "400 Gb/sec (4X NDR)" into 400, and "2.5 Gb/sec (1X SDR)" into 2.
func parseRate(text string) (int, error) {
	number, unit, _ := strings.Cut(text, " ")
	rate, err := strconv.ParseFloat(number, 64)
	if err != nil || !strings.HasPrefix(unit, "Gb/sec") || math.IsNaN(rate) || rate < 0 || rate > maxGbps {
		return 0, fmt.Errorf("rate %.40q is not of the form \"400 Gb/sec\"", text)
	}
	return int(rate), nil
}

// parseGUID returns a GUID in the kernel's form in lower case, "" when it is all
// zero, as on a virtual function that nobody has set up.
func parseGUID(text string) (string, error) {
	text = strings.ToLower(text)
	groups := strings.Split(text, ":")
	for _, group := range groups {
		if len(groups) != 4 || len(group) != 4 || !isHex(group) {
			return "", fmt.Errorf("GUID %.40q is not of the form 0a7f:bc12:0034:5678", text)
		}
	}
	if text == "0000:0000:0000:0000" {
		return "", nil
	}
	return text, nil
}

const (
	maxCPU      = 1 << 16
	maxCPUsText = 1024
)

// checkCPUList refuses what is not a list such as "0-55,112-167" of rising
// numbers. An empty list is that of a node with memory only.
func checkCPUList(text string) error {
	if text == "" {
		return nil
	}
	if len(text) > maxCPUsText {
		return fmt.Errorf("CPU list is longer than %d bytes", maxCPUsText)
	}
	next := 0
	for span := range strings.SplitSeq(text, ",") {
		low, high, isRange := strings.Cut(span, "-")
		if !isRange {
			high = low
		}
		first, errLow := strconv.Atoi(low)
		last, errHigh := strconv.Atoi(high)
		if !isDigits(low) || !isDigits(high) || errors.Join(errLow, errHigh) != nil || first < next || last < first || last >= maxCPU {
			return fmt.Errorf("CPU list %.40q is not of the form 0-55,112-167", text)
		}
		next = last + 1
	}
	return nil
}

// parseMemTotal returns the bytes of the line "Node 0 MemTotal: 1024 kB".
func parseMemTotal(text string) (int64, error) {
	for line := range strings.Lines(text) {
		_, after, found := strings.Cut(line, "MemTotal:")
		if !found {
			continue
		}
		fields := strings.Fields(after)
		if len(fields) != 2 || fields[1] != "kB" || !isDigits(fields[0]) {
			break
		}
		total, err := strconv.ParseInt(fields[0], 10, 64)
		if err != nil || total > math.MaxInt64/1024 {
			break
		}
		return total * 1024, nil
	}
	return 0, errors.New("no line \"MemTotal: <number> kB\"")
}

// cpuIsVirtual says whether the processor's flags have the hypervisor's. known is
// false where processors have no such flags, as on Arm.
func cpuIsVirtual(cpuinfo string) (virtual, known bool) {
	_, flags, found := strings.Cut(cpuinfo, "\nflags")
	if !found {
		return false, false
	}
	flags, _, isWhole := strings.Cut(flags, "\n")
	for flag := range strings.FieldsSeq(flags) {
		if flag == "hypervisor" {
			return true, true
		}
	}
	return false, isWhole
}

const maxProperties = 256

// parseProperties reads the lines "name value" of an AMD topology file. Lines that
// are different are left out; what needs them says so.
func parseProperties(text string) map[string]uint64 {
	properties := map[string]uint64{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		number, err := strconv.ParseUint(value, 10, 64)
		if err != nil || !isPlain(name) || len(name) > maxName {
			continue
		}
		if properties[name] = number; len(properties) == maxProperties {
			break
		}
	}
	return properties
}

// gfxName turns the driver's number 90402 into gfx942, and 90010 into gfx90a:
// major, minor and step have two decimal digits each, and the step is written in
// hexadecimal.
func gfxName(version uint64) (string, error) {
	major, minor, step := version/10000, version/100%100, version%100
	if major == 0 || major > 99 || minor > 15 || step > 15 {
		return "", fmt.Errorf("gfx_target_version %d is no version", version)
	}
	return fmt.Sprintf("gfx%d%x%x", major, minor, step), nil
}
