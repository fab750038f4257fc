package simulate

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/k8s4ai/k8s4ai/internal/placement"
)

const (
	maxDevicesPerPod = 1024
	maxRoleName      = 63
	maxResources     = 16
)

// parseRoles reads roles such as "worker=64x8 cpu=96 memory=1Ti; router=1x0 cpu=4":
// a name, a number of pods, a number of devices per pod, and other resources of
// one pod.
func parseRoles(text, device string) ([]placement.Role, error) {
	if text == "" {
		return nil, errors.New("it is empty: write a role such as worker=64x8")
	}
	var out []placement.Role
	pods, names := 0, map[string]bool{}
	for part := range strings.SplitSeq(strings.TrimSuffix(text, ";"), ";") {
		if len(out) == placement.MaxRoles {
			return nil, fmt.Errorf("more than %d roles", placement.MaxRoles)
		}
		role, err := parseRole(part, device)
		if err != nil {
			return nil, err
		}
		if names[role.Name] {
			return nil, fmt.Errorf("role %s is there twice", role.Name)
		}
		names[role.Name] = true
		if pods += role.Count; pods > placement.MaxPods {
			return nil, fmt.Errorf("more than %d pods in one gang", placement.MaxPods)
		}
		out = append(out, role)
	}
	return out, nil
}

func parseRole(text, device string) (placement.Role, error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return placement.Role{}, errors.New("a role is empty: write a role such as worker=64x8")
	}
	name, size, _ := strings.Cut(words[0], "=")
	count, each, ok := strings.Cut(size, "x")
	if !ok {
		return placement.Role{}, fmt.Errorf("%q is no role: write NAME=PODSxDEVICES, such as worker=64x8", shortened(words[0]))
	}
	if name == "" || len(name) > maxRoleName {
		return placement.Role{}, fmt.Errorf("a role's name has 1 to %d bytes, %q has %d", maxRoleName, shortened(name), len(name))
	}
	pods, err := parseCount(count, 1, placement.MaxPods)
	if err != nil {
		return placement.Role{}, fmt.Errorf("role %s: pods: %w", name, err)
	}
	devices, err := parseCount(each, 0, maxDevicesPerPod)
	if err != nil {
		return placement.Role{}, fmt.Errorf("role %s: devices per pod: %w", name, err)
	}
	role := placement.Role{Name: name, Count: pods}
	if role.Shape.Resources, err = parseResources(words[1:], device, devices); err != nil {
		return placement.Role{}, fmt.Errorf("role %s: %w", name, err)
	}
	role.Shape.Tolerations = tolerationsOf(role.Shape.Resources)
	return role, nil
}

// parseResources reads words such as cpu=96, beside the devices.
func parseResources(words []string, device string, devices int) (placement.Resources, error) {
	if len(words) > maxResources {
		return nil, fmt.Errorf("more than %d resources", maxResources)
	}
	out := placement.Resources{}
	if devices > 0 {
		out[device] = int64(devices)
	}
	for _, word := range words {
		resource, amount, ok := strings.Cut(word, "=")
		if !ok || resource == "" {
			return nil, fmt.Errorf("%q is no resource: write NAME=AMOUNT, such as memory=1Ti", shortened(word))
		}
		if _, twice := out[resource]; twice {
			return nil, fmt.Errorf("%s is there twice", shortened(resource))
		}
		if resource == podsResource || resource == device {
			return nil, fmt.Errorf("%s is told by PODSxDEVICES already", resource)
		}
		value, err := parseQuantity(resource, amount)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", shortened(resource), err)
		}
		out[resource] = value
	}
	return out, nil
}

// tolerationsOf accepts taints that are named after a resource that the pod asks
// for, as clusters do that run the ExtendedResourceToleration admission: without
// it, a fleet whose nodes are tainted for their devices would take nobody.
func tolerationsOf(resources placement.Resources) []placement.Toleration {
	var out []placement.Toleration
	for _, name := range sortedNames(resources) {
		if strings.Contains(name, "/") {
			out = append(out, placement.Toleration{Key: name, Operator: "Exists"})
		}
	}
	return out
}

func parseCount(text string, least, most int) (int, error) {
	value, err := strconv.ParseUint(text, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		value, err = math.MaxUint64, nil
	}
	if err != nil {
		return 0, fmt.Errorf("%q is no whole number", shortened(text))
	}
	if value < uint64(least) || value > uint64(most) {
		return 0, fmt.Errorf("%s is not %d to %d", shortened(text), least, most)
	}
	return int(value), nil
}

// suffixes are the units of a quantity; in milli units, so that "m" is one.
var suffixes = map[string]uint64{
	"m": 1, "": 1e3, "k": 1e6, "M": 1e9, "G": 1e12, "T": 1e15, "P": 1e18,
	"Ki": 1000 << 10, "Mi": 1000 << 20, "Gi": 1000 << 30, "Ti": 1000 << 40, "Pi": 1000 << 50,
}

// parseQuantity reads an amount as Kubernetes writes it, with at most six digits
// behind the point, and returns it in the unit of placement.Resources.
func parseQuantity(resource, text string) (int64, error) {
	number := strings.TrimRight(text, "mkMGTPi")
	unit, known := suffixes[text[len(number):]]
	whole, part, pointed := strings.Cut(number, ".")
	// digits is the number without its point, which is at ten to the power of the
	// length of part.
	digits, err := strconv.ParseUint(whole+part, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%s is too large", shortened(text))
	}
	if err != nil || !known || whole == "" || len(part) > 6 || (pointed && part == "") {
		return 0, fmt.Errorf("%q is no amount: write such as 96, 500m, 1.5 or 1Ti", shortened(text))
	}
	// Units are in thousandths, as the unit of cpu is.
	per := uint64(1000)
	if resource == cpuResource {
		per = 1
	}
	for range part {
		per *= 10
	}
	high, low := bits.Mul64(digits, unit)
	if high >= per {
		return 0, fmt.Errorf("%s is too large", shortened(text))
	}
	out, rest := bits.Div64(high, low, per)
	switch {
	case out > math.MaxInt64:
		return 0, fmt.Errorf("%s is too large", shortened(text))
	case rest != 0:
		return 0, fmt.Errorf("%s is not a whole number of the smallest unit", shortened(text))
	}
	return int64(out), nil
}
