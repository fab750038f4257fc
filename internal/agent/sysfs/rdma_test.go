package sysfs

import (
	"fmt"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

const noGID = "0000:0000:0000:0000:0000:0000:0000:0000"

// adapter is an InfiniBand adapter with one port that is up, with changes; a value
// "none" takes a file away.
func adapter(name, pci string, changes map[string]string) map[string]string {
	files := map[string]string{
		"node_guid": "0a7f:bc12:0034:567" + name[len(name)-1:], "sys_image_guid": "0a7f:bc12:0034:5600", "node_type": "1: CA",
		"ports/1/state": "4: ACTIVE", "ports/1/rate": "400 Gb/sec (4X NDR)", "ports/1/link_layer": "InfiniBand",
	}
	maps.Copy(files, changes)
	maps.DeleteFunc(files, func(_, content string) bool { return content == "none" })
	out := prefixed("sys/devices/"+pci+"/infiniband/"+name, files)
	out["sys/class/infiniband/"+name] = "-> ../../devices/" + pci + "/infiniband/" + name
	return out
}

const (
	nearCPU = "pci0000:15/0000:15:01.0/0000:18:00.0"
	farCPU  = "pci0000:95/0000:95:01.0/0000:98:00.0"
)

// port is what adapter() reads as, with changes.
func port(name string, change func(*machine.NIC)) machine.NIC {
	n := machine.NIC{
		Name: name, GUID: "0a7f:bc12:0034:567" + name[len(name)-1:], SystemGUID: "0a7f:bc12:0034:5600", PCIAddress: "0000:18:00.0",
		LinkLayer: "InfiniBand", Gbps: 400, State: "Active",
	}
	if change != nil {
		change(&n)
	}
	return n
}

func TestRDMA(t *testing.T) {
	down := func(n *machine.NIC) { n.State, n.Gbps = "Down", 0 }
	cases := map[string]struct {
		changes  map[string]string // to mlx5_0
		want     []machine.NIC     // besides mlx5_1, which is always there and sound
		problems []string
	}{
		"sound":                          {nil, []machine.NIC{port("mlx5_0", nil)}, nil},
		"down, with the rate of no link": {map[string]string{"ports/1/state": "1: DOWN", "ports/1/rate": "10 Gb/sec (4X SDR)"}, []machine.NIC{port("mlx5_0", down)}, nil},
		"state unreadable":               {map[string]string{"ports/1/state": "none"}, []machine.NIC{port("mlx5_0", func(n *machine.NIC) { n.State, n.Gbps = "Unknown", 0 })}, []string{"mlx5_0"}},
		"rate that is no rate":           {map[string]string{"ports/1/rate": "fast"}, []machine.NIC{port("mlx5_0", func(n *machine.NIC) { n.Gbps = 0 })}, []string{"mlx5_0"}},
		"virtual function nobody set up": {map[string]string{"node_guid": "0000:0000:0000:0000"}, []machine.NIC{port("mlx5_0", func(n *machine.NIC) { n.GUID = "" })}, nil},
		"GUID that is none":              {map[string]string{"node_guid": "0x12", "sys_image_guid": "none"}, []machine.NIC{port("mlx5_0", func(n *machine.NIC) { n.GUID, n.SystemGUID = "", "" })}, []string{"mlx5_0"}},
		"GUID of another device":         {map[string]string{"node_guid": "0a7f:bc12:0034:5671"}, []machine.NIC{port("mlx5_0", func(n *machine.NIC) { n.GUID = "0a7f:bc12:0034:5671" })}, []string{"mlx5_1"}},
		"two ports":                      {map[string]string{"ports/2/state": "1: DOWN", "ports/2/link_layer": "InfiniBand", "ports/x/state": "4"}, []machine.NIC{port("mlx5_0", nil), port("mlx5_0", func(n *machine.NIC) { down(n); n.Name = "mlx5_0/2" })}, nil},
		"second port without link layer": {map[string]string{"ports/2/state": "1: DOWN"}, []machine.NIC{port("mlx5_0", nil)}, []string{"mlx5_0/2"}},
		"link layer that is none":        {map[string]string{"ports/1/link_layer": "Token Ring"}, nil, []string{"mlx5_0"}},
		"link layer without a name":      {map[string]string{"ports/1/link_layer": "Unspecified"}, nil, nil},
		"switch":                         {map[string]string{"node_type": "2: switch"}, nil, nil},
		"kind unreadable":                {map[string]string{"node_type": "none"}, []machine.NIC{port("mlx5_0", nil)}, []string{"mlx5_0"}},
		"no ports":                       {map[string]string{"ports/1/state": "none", "ports/1/rate": "none", "ports/1/link_layer": "none"}, nil, nil},
		"everything is garbage":          {map[string]string{"node_guid": "\x00\xff", "sys_image_guid": "\x1b[2J", "ports/1/state": "\xff", "ports/1/link_layer": "\xfe"}, nil, []string{"mlx5_0"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Read(tree(t, pciAt(nearCPU, "0"), pciAt(farCPU, "1"), adapter("mlx5_0", nearCPU, tc.changes), adapter("mlx5_1", farCPU, nil)))
			sound := port("mlx5_1", func(n *machine.NIC) { n.PCIAddress, n.NUMANode = "0000:98:00.0", 1 })
			if diff := cmp.Diff(append(tc.want, sound), got.NICs); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.problems, about(got.Problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s\n%v", diff, got.Problems)
			}
		})
	}
}

// gids are the rows of a port's table: address and interface.
func gids(rows ...[2]string) map[string]string {
	files := map[string]string{"ports/1/link_layer": "Ethernet"}
	for i, row := range rows {
		files[fmt.Sprintf("ports/1/gids/%d", i)] = row[0]
		if row[1] != "" {
			files[fmt.Sprintf("ports/1/gid_attrs/ndevs/%d", i)] = row[1]
		}
	}
	return files
}

func TestRoCE(t *testing.T) {
	const (
		local = "fe80:0000:0000:0000:0a7f:bcff:fe34:5678"
		inV4  = "0000:0000:0000:0000:0000:ffff:0a08:0005"
		other = "0000:0000:0000:0000:0000:ffff:0a63:0005"
		inV6  = "fd00:0000:0008:0000:0000:0000:0000:0005"
	)
	routes := map[string]string{
		"proc/1/net/route":      someRoutes + "rail0.7\t0000630A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0",
		"proc/1/net/ipv6_route": "fd000000000800000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001    rail0",
	}
	cases := map[string]struct {
		files         map[string]string
		iface, subnet string
		problems      []string
	}{
		"IPv4":                           {gids([2]string{local, "rail0"}, [2]string{local, "rail0"}, [2]string{inV4, "rail0"}), "rail0", "10.8.0.0/16", nil},
		"IPv6 only":                      {gids([2]string{local, "rail0"}, [2]string{inV6, "rail0"}), "rail0", "fd00:0:8::/64", nil},
		"IPv4 counts before IPv6":        {gids([2]string{inV6, "rail0"}, [2]string{inV4, "rail0"}), "rail0", "10.8.0.0/16", nil},
		"the address is on a VLAN":       {gids([2]string{local, "rail0"}, [2]string{other, "rail0.7"}), "rail0.7", "10.99.0.0/16", nil},
		"no route to the address":        {gids([2]string{local, "rail0"}, [2]string{other, "rail0"}), "rail0", "", nil},
		"no address":                     {gids([2]string{local, "rail0"}), "rail0", "", nil},
		"rows that are empty come first": {gids([2]string{noGID, ""}, [2]string{noGID, ""}, [2]string{inV4, "rail0"}), "rail0", "10.8.0.0/16", nil},
		"rows of no interface":           {gids([2]string{inV4, ""}), "", "", nil},
		"an empty table":                 {gids(), "", "", nil},
		"a row that is no address":       {gids([2]string{"zzzz", "rail0"}), "", "", []string{"mlx5_0"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := Read(tree(t, routes, pciAt(nearCPU, "0"), adapter("mlx5_0", nearCPU, tc.files)))
			want := []machine.NIC{port("mlx5_0", func(n *machine.NIC) { n.LinkLayer, n.Interface, n.Subnet = "Ethernet", tc.iface, tc.subnet })}
			if diff := cmp.Diff(want, got.NICs); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.problems, about(got.Problems)); diff != "" {
				t.Errorf("problems (-want +got):\n%s\n%v", diff, got.Problems)
			}
		})
	}
}

// Where a device stands in the PCI tree follows from its link, from its link
// "device" where the class has directories, and from no link for one in software.
func TestPlaceOfAdapter(t *testing.T) {
	inSoftware := adapter("rxe_0", "virtual/x", map[string]string{"ports/1/link_layer": "Ethernet"})
	subfunction := adapter("mlx5_3", nearCPU+"/mlx5_core.sf.4", nil)
	directory := prefixed("sys/class/infiniband/mlx5_4", map[string]string{
		"node_guid": "0a7f:bc12:0034:5674", "sys_image_guid": "0a7f:bc12:0034:5600", "node_type": "1: CA",
		"device": "-> ../../../bus/pci/devices/0000:98:00.0", "ports/1/state": "4: ACTIVE", "ports/1/rate": "100 Gb/sec (4X EDR)", "ports/1/link_layer": "InfiniBand",
	})
	got := Read(tree(t, pciAt(nearCPU, "0"), pciAt(farCPU, "1"), inSoftware, subfunction, directory))
	places := map[string]string{}
	for _, n := range got.NICs {
		places[n.Name] = fmt.Sprintf("%s %d", n.PCIAddress, n.NUMANode)
	}
	want := map[string]string{"rxe_0": " -1", "mlx5_3": "0000:18:00.0 0", "mlx5_4": "0000:98:00.0 1"}
	if diff := cmp.Diff(want, places); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(got.Problems) > 0 {
		t.Errorf("problems %v", got.Problems)
	}
}
