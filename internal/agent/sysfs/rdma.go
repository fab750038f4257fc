package sysfs

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"strings"

	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
)

const (
	rdmaClass = "sys/class/infiniband"
	// maxGIDs and maxEmptyGIDs bound the walk over a port's table, which has 256
	// rows, few of them in use, and those near its start.
	maxGIDs      = 128
	maxEmptyGIDs = 8

	infiniBand = "InfiniBand"
	ethernet   = "Ethernet"
)

// rdma lists the ports of RDMA devices. What is no adapter, such as a switch, and
// ports that are neither InfiniBand nor Ethernet are left out.
func (r *reader) rdma() (nics []machine.NIC, devices []device) {
	names := r.deviceNames(rdmaClass)
	if len(names) == 0 {
		return nil, nil
	}
	routes := r.routes()
	owners := map[string]string{}
	for _, name := range names {
		dir := rdmaClass + "/" + name
		if !r.isAdapter(name, dir) {
			continue
		}
		d := r.classDevice(rdmaClass, name)
		devices = append(devices, d)
		adapter := machine.NIC{
			Name: name, GUID: r.guid(name, "node_guid"), SystemGUID: r.guid(name, "sys_image_guid"), PCIAddress: d.address, NUMANode: d.numa,
		}
		if other := owners[adapter.GUID]; other != "" && adapter.GUID != "" {
			r.problem(name, "has the GUID %s of %s: the fabric cannot tell them apart", adapter.GUID, other)
		} else {
			owners[adapter.GUID] = name
		}
		nics = append(nics, r.ports(adapter, dir+"/ports", routes)...)
	}
	return nics, devices
}

// isAdapter is true for an adapter of InfiniBand, RoCE or iWARP, and for a device
// that does not say what it is.
func (r *reader) isAdapter(name, dir string) bool {
	text, err := r.text(dir + "/node_type")
	kind, _, isKind := strings.Cut(text, ":")
	switch {
	case err != nil:
		r.problem(name, "node_type: %v", err)
	case !isKind || len(kind) != 1 || !isDigits(kind):
		r.problem(name, "node_type %.40q is not of the form \"1: CA\"", text)
	default:
		return kind == "1" || kind == "4"
	}
	return true
}

func (r *reader) guid(name, file string) string {
	text, err := r.text(rdmaClass + "/" + name + "/" + file)
	if err == nil {
		text, err = parseGUID(text)
	}
	if err != nil {
		r.problem(name, "%s: %v", file, err)
		return ""
	}
	return text
}

func (r *reader) ports(adapter machine.NIC, dir string, routes []route) []machine.NIC {
	var nics []machine.NIC
	for _, entry := range r.names(dir) {
		number, isNumber := numbered(entry, "")
		if !isNumber {
			continue
		}
		port := adapter
		if number != 1 {
			port.Name = adapter.Name + "/" + strconv.Itoa(number)
		}
		if err := r.port(&port, dir+"/"+entry, routes); err != nil {
			r.problem(port.Name, "%v", err)
			continue
		}
		if port.LinkLayer != "" {
			nics = append(nics, port)
		}
	}
	return nics
}

// port fills in what is the port's own. Only a port without a known link layer is
// an error: it cannot be reported.
func (r *reader) port(port *machine.NIC, dir string, routes []route) error {
	layer, err := r.text(dir + "/link_layer")
	switch {
	case err != nil:
		return fmt.Errorf("link_layer: %w", err)
	case layer == "Unspecified":
		return nil
	case layer != infiniBand && layer != ethernet:
		return fmt.Errorf("link layer %.40q is neither InfiniBand nor Ethernet", layer)
	}
	port.LinkLayer = layer
	state, err := r.text(dir + "/state")
	if err != nil {
		r.problem(port.Name, "state: %v", err)
	}
	port.State = parseState(state)
	// A port without a link has the slowest rate there is in its file.
	if port.State == "Active" {
		rate, err := r.text(dir + "/rate")
		if err == nil {
			port.Gbps, err = parseRate(rate)
		}
		if err != nil {
			r.problem(port.Name, "%v", err)
		}
	}
	if layer == ethernet {
		r.network(port, dir, routes)
	}
	return nil
}

// network finds the interface of an Ethernet port and the network of its address.
// The table of GIDs has a row for each address of the interface and of the VLANs
// on top of it, and an IPv4 address counts before an IPv6 one.
func (r *reader) network(port *machine.NIC, dir string, routes []route) {
	empty, has4 := 0, false
	for row := 0; row < maxGIDs && empty < maxEmptyGIDs && !has4; row++ {
		gid, err := r.gid(dir, row)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			r.problem(port.Name, "GID %d: %v", row, err)
			return
		}
		if gid.IsUnspecified() {
			empty++
			continue
		}
		iface, err := r.text(dir + "/gid_attrs/ndevs/" + strconv.Itoa(row))
		if err != nil || !isPlain(iface) || len(iface) > maxName {
			continue
		}
		if port.Interface == "" {
			port.Interface = iface
		}
		if subnet, found := subnetOf(routes, iface, gid.Unmap()); found && (port.Subnet == "" || gid.Is4In6()) {
			port.Interface, port.Subnet, has4 = iface, subnet.String(), gid.Is4In6()
		}
	}
}

func (r *reader) gid(dir string, row int) (netip.Addr, error) {
	text, err := r.text(dir + "/gids/" + strconv.Itoa(row))
	if err != nil {
		return netip.Addr{}, err
	}
	return netip.ParseAddr(text)
}
