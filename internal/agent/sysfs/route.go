package sysfs

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io/fs"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
)

const (
	ipv4Routes = "proc/1/net/route"
	ipv6Routes = "proc/1/net/ipv6_route"
	maxRoutes  = 1024

	routeUp      = 0x1
	routeGateway = 0x2
	routeReject  = 0x200
)

// route is a network that an interface is connected to, without a gateway.
type route struct {
	iface  string
	subnet netip.Prefix
}

// routes are the networks that the host's interfaces are connected to.
func (r *reader) routes() []route {
	var all []route
	for _, table := range []struct {
		name  string
		parse func(string) []route
	}{{ipv4Routes, parseRoutes}, {ipv6Routes, parseRoutes6}} {
		text, err := r.head(table.name, maxFileBytes)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.problem("machine", "routes: %v", err)
		}
		all = append(all, table.parse(text)...)
	}
	return all
}

// subnetOf returns the narrowest network of the interface that holds the address.
func subnetOf(routes []route, iface string, address netip.Addr) (netip.Prefix, bool) {
	var best netip.Prefix
	for _, known := range routes {
		if known.iface == iface && known.subnet.Contains(address) && (!best.IsValid() || known.subnet.Bits() > best.Bits()) {
			best = known.subnet
		}
	}
	return best, best.IsValid()
}

// parseRoutes reads the kernel's IPv4 table, whose addresses are the bytes in
// network order printed as one little-endian number: 0000080A is 10.8.0.0. Lines
// of another form are the heading or say nothing. A route to one host is no
// network.
func parseRoutes(text string) []route {
	var routes []route
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 8 || len(routes) == maxRoutes {
			continue
		}
		destination, errDestination := strconv.ParseUint(fields[1], 16, 32)
		gateway, errGateway := strconv.ParseUint(fields[2], 16, 32)
		flags, errFlags := strconv.ParseUint(fields[3], 16, 32)
		mask, errMask := strconv.ParseUint(fields[7], 16, 32)
		if errors.Join(errDestination, errGateway, errFlags, errMask) != nil || gateway != 0 || flags&(routeUp|routeGateway|routeReject) != routeUp {
			continue
		}
		ones := bits.LeadingZeros32(^bits.ReverseBytes32(uint32(mask)))
		if ones == 0 || ones == 32 || bits.OnesCount64(mask) != ones {
			continue
		}
		var address [4]byte
		binary.LittleEndian.PutUint32(address[:], uint32(destination))
		routes = appendRoute(routes, fields[0], netip.AddrFrom4(address), ones)
	}
	return routes
}

// parseRoutes6 reads the kernel's IPv6 table: destination and its prefix length,
// source and its, next hop, metric, two counters, flags, interface.
func parseRoutes6(text string) []route {
	var routes []route
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 10 || len(routes) == maxRoutes || strings.Trim(fields[4], "0") != "" || len(fields[0]) != 32 {
			continue
		}
		destination, errDestination := hex.DecodeString(fields[0])
		ones, errOnes := strconv.ParseUint(fields[1], 16, 8)
		flags, errFlags := strconv.ParseUint(fields[8], 16, 32)
		if errors.Join(errDestination, errOnes, errFlags) != nil || ones == 0 || ones > 127 || flags&(routeUp|routeGateway|routeReject) != routeUp {
			continue
		}
		routes = appendRoute(routes, fields[9], netip.AddrFrom16([16]byte(destination)), int(ones))
	}
	return routes
}

// appendRoute leaves out networks that say nothing about what is connected: every
// interface has the same link-local ones.
func appendRoute(routes []route, iface string, address netip.Addr, ones int) []route {
	if address.IsLinkLocalUnicast() || address.IsMulticast() || address.IsLoopback() || !isPlain(iface) || len(iface) > maxName {
		return routes
	}
	return append(routes, route{iface, netip.PrefixFrom(address, ones).Masked()})
}
