package fleet

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// The tree is one that a kernel could publish: no address and no bus is used
// twice, every function is where its link leads, and every device of the report is
// in it.
func TestFunctions(t *testing.T) {
	for _, name := range ShapeNames() {
		for _, provider := range []Provider{ProviderNone, ProviderDOKS} {
			t.Run(name+" on "+string(provider), func(t *testing.T) {
				s := shapes[name]
				functions := (&Fleet{Provider: provider, Fabric: Fabric{LinkLayer: "Ethernet"}}).functions(&s)
				bridges, where := map[string]string{}, map[string]string{}
				for _, d := range functions {
					if other, taken := where[d.bdf]; taken {
						t.Errorf("%s is at %s and at %s", d.bdf, other, d.dir)
					}
					where[d.bdf] = d.dir
					above, own, _ := strings.Cut(d.dir, "/")
					if !strings.HasPrefix(above, "pci") || !strings.HasSuffix("/"+own, "/"+d.bdf) {
						t.Errorf("%s is at %s", d.bdf, d.dir)
					}
					// All functions of a bus hang on one bridge.
					bus, bridge := d.bdf[:len("0000:00")], filepath.Dir(d.dir)
					if other, taken := bridges[bus]; taken && other != bridge {
						t.Errorf("bus %s is below %s and below %s", bus, other, bridge)
					}
					bridges[bus] = bridge
				}
				for _, bdf := range slices.Concat(s.gpuBDF, s.switchBDF, nvmeBDF[:s.hostNVMes]) {
					if where[bdf] == "" {
						t.Errorf("%s is missing", bdf)
					}
				}
			})
		}
	}
}

func TestSysfsRefuses(t *testing.T) {
	f := fleetOf(t, "L40S", ProviderNone, "Ethernet")
	good, dir := f.Machines()[0], t.TempDir()
	unknown, foreign := good, good
	unknown.Shape, foreign.Name = "HGX-H100x9", "elsewhere"
	for want, m := range map[string]Machine{"HGX-H100x9": unknown, "has no such machine": foreign} {
		if err := f.Sysfs(m, dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Sysfs(%+v) = %v; want an error that says %q", m, err, want)
		}
	}
	if err := f.Sysfs(good, dir); err != nil {
		t.Fatal(err)
	}
	if err := f.Sysfs(good, dir); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second machine in one directory: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Sysfs(good, filepath.Join(file, "below")); err == nil {
		t.Error("a directory that cannot be made is no error")
	}
}

// Rails are networks of their own, and what a report says of relations follows
// from what shares a switch or a host bridge.
func TestRailsAndRelations(t *testing.T) {
	report := fleetOf(t, "HGX-H200x8", ProviderDOKS, "Ethernet").Reports()[0].Status.Node
	subnets := map[string]bool{}
	for _, n := range report.NICs {
		subnets[n.Subnet] = true
		if n.InterfaceName != "fabric"+n.Name[len("mlx5_"):] {
			t.Errorf("%s is interface %s", n.Name, n.InterfaceName)
		}
	}
	if len(subnets) != 8 || !subnets["10.7.0.0/16"] {
		t.Errorf("subnets %v", subnets)
	}
	cases := map[string]map[v1alpha1.PCIePath]int{
		"HGX-H100x8":  {v1alpha1.PCIePIX: 8},                          // each GPU and its port
		"A100-PCIe":   {v1alpha1.PCIePIX: 2 + 1, v1alpha1.PCIePHB: 1}, // two GPUs, their port and each other; the other two
		"GB200-NVL72": {},
		"MI300Xx8":    {v1alpha1.PCIePIX: 8},
	}
	for shape, want := range cases {
		got := map[v1alpha1.PCIePath]int{}
		for _, relation := range fleetOf(t, shape, ProviderNone, "InfiniBand").Reports()[0].Status.Node.PCIeRelations {
			got[relation.Path]++
		}
		for path, count := range want {
			if got[path] != count {
				t.Errorf("%s has %d relations %s, want %d", shape, got[path], path, count)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s has relations %v, want %v", shape, got, want)
		}
	}
}
