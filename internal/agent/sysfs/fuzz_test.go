package sysfs

import (
	"strings"
	"testing"
)

func FuzzState(f *testing.F) {
	f.Add("4: ACTIVE")
	f.Fuzz(func(t *testing.T, text string) {
		if state := parseState(text); state != "Active" && state != "Down" && state != "Unknown" {
			t.Errorf("state %q", state)
		}
	})
}

func FuzzRate(f *testing.F) {
	f.Add("400 Gb/sec (4X NDR)")
	f.Add("2.5 Gb/sec (1X SDR)")
	f.Fuzz(func(t *testing.T, text string) {
		if rate, err := parseRate(text); rate < 0 || rate > maxGbps || err != nil && rate != 0 {
			t.Errorf("rate %d, %v", rate, err)
		}
	})
}

func FuzzGUID(f *testing.F) {
	f.Add("0A7f:bc12:0034:5678")
	f.Fuzz(func(t *testing.T, text string) {
		guid, err := parseGUID(text)
		if guid == "" {
			return
		}
		again, errAgain := parseGUID(guid)
		if err != nil || errAgain != nil || again != guid || len(guid) != 19 {
			t.Errorf("GUID %q, %v; again %q, %v", guid, err, again, errAgain)
		}
	})
}

func FuzzCPUList(f *testing.F) {
	f.Add("0-55,112-167")
	f.Add("7")
	f.Fuzz(func(t *testing.T, text string) {
		if checkCPUList(text) == nil && (len(text) > maxCPUsText || strings.Trim(text, "0123456789,-") != "") {
			t.Errorf("%q is taken for a CPU list", text)
		}
	})
}

func FuzzMemTotal(f *testing.F) {
	f.Add("Node 0 MemTotal: 1024 kB")
	f.Fuzz(func(t *testing.T, text string) {
		if total, err := parseMemTotal(text); total < 0 || total%1024 != 0 || err != nil && total != 0 {
			t.Errorf("%d bytes, %v", total, err)
		}
	})
}

func FuzzCPUInfo(f *testing.F) {
	f.Add("processor\t: 0\nflags\t\t: fpu hypervisor lm\n")
	f.Fuzz(func(t *testing.T, text string) {
		if virtual, known := cpuIsVirtual(text); virtual && (!known || !strings.Contains(text, "hypervisor")) {
			t.Errorf("virtual without the flag, known %v", known)
		}
	})
}

func FuzzRoutes(f *testing.F) {
	f.Add(someRoutes)
	f.Add("fd000000000800000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001 rail0\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, known := range append(parseRoutes(text), parseRoutes6(text)...) {
			subnet := known.subnet
			if !subnet.IsValid() || subnet.Bits() == 0 || subnet.IsSingleIP() || subnet != subnet.Masked() || len(subnet.String()) > maxName || !isPlain(known.iface) || len(known.iface) > maxName {
				t.Errorf("route %+v", known)
			}
		}
	})
}

func FuzzProperties(f *testing.F) {
	f.Add("simd_count 1216\ngfx_target_version 90402\nunique_id 18446744073709551615\n")
	f.Fuzz(func(t *testing.T, text string) {
		properties := parseProperties(text)
		if len(properties) > maxProperties {
			t.Errorf("%d properties", len(properties))
		}
		for name, value := range properties {
			if !isPlain(name) || len(name) > maxName {
				t.Errorf("property %q", name)
			}
			if gfx, err := gfxName(value); err == nil && (len(gfx) < 6 || len(gfx) > 7) {
				t.Errorf("%d is %q", value, gfx)
			}
			if count, gbps := linkSpeed(value, properties["simd_count"]); count < 1 || count > maxLinks || gbps < 0 || gbps > maxGbps {
				t.Errorf("%d connections at %d Gb/s", count, gbps)
			}
		}
	})
}

func FuzzPCIPath(f *testing.F) {
	f.Add("sys/devices/pci0000:15/0000:15:01.0/0000:18:00.0/infiniband/mlx5_0", "sys/devices/pci0000:15/0000:15:02.0/0000:19:00.0", "00000000:1B:00.0")
	f.Add("sys/devices/pci0000:e0/0000:e0:00.5/pci10000:e0/10000:e1:00.0", "", "10000:e1:00.0")
	f.Fuzz(func(t *testing.T, one, two, address string) {
		if known, isAddress := parseAddress(address); isAddress {
			if again, isAgain := parseAddress(known); !isAgain || again != known || len(known) < 12 || len(known) > 16 {
				t.Errorf("address %q, again %q", known, again)
			}
		}
		a, dir, chain := pciChain(one)
		if chain != nil && (!strings.HasPrefix(one, dir) || len(chain) < 2 || len(chain) > maxDepth+1 || a == "") {
			t.Errorf("%q at %q by %v", a, dir, chain)
		}
		_, _, other := pciChain(two)
		x, y := device{chain: chain, numa: len(one) % 3}, device{chain: other, numa: len(two) % 3}
		there, back := relation(x, y), relation(y, x)
		if there != back || (there == "") != (chain == nil || other == nil) {
			t.Errorf("relation %q there and %q back", there, back)
		}
	})
}
