package sysfs

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseState(t *testing.T) {
	for text, want := range map[string]string{
		"4: ACTIVE": "Active", "1: DOWN": "Down", "2: INIT": "Down", "3: ARMED": "Down",
		"5: ACTIVE_DEFER": "Unknown", "0: NOP": "Unknown", "": "Unknown", "ACTIVE": "Unknown", "44: x": "Unknown",
	} {
		if got := parseState(text); got != want {
			t.Errorf("parseState(%q) = %s, want %s", text, got, want)
		}
	}
}

func TestParseRate(t *testing.T) {
	cases := map[string]struct {
		want int
		bad  bool
	}{
		"400 Gb/sec (4X NDR)": {want: 400}, "2.5 Gb/sec (1X SDR)": {want: 2}, "0 Gb/sec": {}, "100000 Gb/sec": {want: 100000},
		"": {bad: true}, "400": {bad: true}, "fast": {bad: true}, "-1 Gb/sec": {bad: true}, "NaN Gb/sec": {bad: true},
		"Inf Gb/sec": {bad: true}, "1e30 Gb/sec": {bad: true}, "400 Mb/sec": {bad: true}, "400  Gb/sec": {bad: true},
	}
	for text, tc := range cases {
		if got, err := parseRate(text); got != tc.want || (err != nil) != tc.bad {
			t.Errorf("parseRate(%q) = %d, %v; want %d, error %v", text, got, err, tc.want, tc.bad)
		}
	}
}

func TestParseGUID(t *testing.T) {
	cases := map[string]struct {
		want string
		bad  bool
	}{
		"0a7f:bc12:0034:5678": {want: "0a7f:bc12:0034:5678"}, "0A7F:BC12:0034:5678": {want: "0a7f:bc12:0034:5678"},
		"0000:0000:0000:0000": {},
		"":                    {bad: true}, "0a7f:bc12:0034": {bad: true}, "0a7f:bc12:0034:5678:9abc": {bad: true},
		"0x0a7fbc1200345678": {bad: true}, "0a7f:bc12:0034:567g": {bad: true}, "0a7f:bc12:034:5678": {bad: true},
	}
	for text, tc := range cases {
		if got, err := parseGUID(text); got != tc.want || (err != nil) != tc.bad {
			t.Errorf("parseGUID(%q) = %q, %v; want %q, error %v", text, got, err, tc.want, tc.bad)
		}
	}
}

func TestCheckCPUList(t *testing.T) {
	for text, good := range map[string]bool{
		"": true, "0": true, "0-55,112-167": true, "3,5,7-9": true, "65535": true,
		"-": false, "5-3": false, "0-3,2": false, "0,0": false, "0-": false, "a": false, "0-65536": false, "+1": false, "0, 1": false, ",": false,
		"99999999999999999999": false, strings.Repeat("1", maxCPUsText+1): false,
	} {
		if err := checkCPUList(text); (err == nil) != good {
			t.Errorf("checkCPUList(%.40q) = %v; want good %v", text, err, good)
		}
	}
}

func TestParseMemTotal(t *testing.T) {
	cases := map[string]struct {
		want int64
		bad  bool
	}{
		"Node 0 MemTotal:       1056316836 kB\nNode 0 MemFree: 5 kB": {want: 1056316836 * 1024},
		"Node 3 MemTotal: 0 kB":    {},
		"":                         {bad: true},
		"Node 0 MemTotal: many kB": {bad: true},
		"Node 0 MemTotal: -5 kB":   {bad: true},
		"Node 0 MemTotal: 5":       {bad: true},
		"Node 0 MemTotal: 9223372036854775807 kB":      {bad: true},
		"Node 0 MemTotal: 99999999999999999999999 kB":  {bad: true},
		"Node 0 MemFree: 5 kB\nNode 0 MemUsed: 123 kB": {bad: true},
	}
	for text, tc := range cases {
		if got, err := parseMemTotal(text); got != tc.want || (err != nil) != tc.bad {
			t.Errorf("parseMemTotal(%q) = %d, %v; want %d, error %v", text, got, err, tc.want, tc.bad)
		}
	}
}

func TestCPUIsVirtual(t *testing.T) {
	cases := map[string]struct{ virtual, known bool }{
		"processor\t: 0\nflags\t\t: fpu vme hypervisor lm\nbugs:": {true, true},
		"processor\t: 0\nflags\t\t: fpu vme lm\nbugs:":            {false, true},
		"processor\t: 0\nflags\t\t: fpu hypervisors lm\n":         {false, true},
		"processor\t: 0\nflags\t\t: fpu vme l":                    {false, false}, // cut before the end
		"processor\t: 0\nflags\t\t: fpu hypervisor l":             {true, true},
		"processor\t: 0\nFeatures\t: fp asimd\n":                  {false, false},
		"":                                                        {false, false},
	}
	for text, want := range cases {
		if virtual, known := cpuIsVirtual(text); virtual != want.virtual || known != want.known {
			t.Errorf("cpuIsVirtual(%q) = %v, %v; want %v, %v", text, virtual, known, want.virtual, want.known)
		}
	}
}

func TestGFXName(t *testing.T) {
	for version, want := range map[uint64]string{
		90402: "gfx942", 90010: "gfx90a", 90500: "gfx950", 110501: "gfx1151", 120001: "gfx1201", 90008: "gfx908",
		0: "", 9: "", 91600: "", 90016: "", 1<<64 - 1: "",
	} {
		if got, err := gfxName(version); got != want || (err == nil) != (want != "") {
			t.Errorf("gfxName(%d) = %q, %v; want %q", version, got, err, want)
		}
	}
}

func TestParseProperties(t *testing.T) {
	got := parseProperties("simd_count 1216\nbad\nnegative -1\n unique_id 18446744073709551615 \nover 18446744073709551616\nname with space 5\n")
	want := map[string]uint64{"simd_count": 1216, "unique_id": 1<<64 - 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseAddress(t *testing.T) {
	for text, want := range map[string]string{
		"0000:1b:00.0": "0000:1b:00.0", "00000000:1B:00.0": "0000:1b:00.0", "10000:e1:00.0": "10000:e1:00.0", "00010000:E1:1f.7": "10000:e1:1f.7",
		"": "", "1b:00.0": "", "0000:1b:00": "", "0000:1b:00.8": "", "0000:1b:0.0": "", "0000:1b:00.0/x": "", "000000000:1b:00.0": "",
		"0000:1b:00.0:1": "", "+000:1b:00.0": "", "0000:g0:00.0": "", "../..:1b:00.0": "",
	} {
		if got, found := parseAddress(text); got != want || found != (want != "") {
			t.Errorf("parseAddress(%q) = %q, %v; want %q", text, got, found, want)
		}
	}
}

const someRoutes = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0110A8C0	0003	0	0	100	00000000	0	0	0
eth0	0010A8C0	00000000	0001	0	0	100	00FFFFFF	0	0	0
eth0	0110A8C0	00000000	0005	0	0	100	FFFFFFFF	0	0	0
rail0	0000080A	00000000	0001	0	0	0	0000FFFF	0	0	0
rail0	0000000A	0100080A	0003	0	0	0	000000FF	0	0	0
rail0	0000FEA9	00000000	0001	0	0	0	0000FFFF	0	0	0
rail1	0000090A	00000000	0001	0	0	0	00FF00FF	0	0	0
rail2	00000B0A	00000000	0000	0	0	0	0000FFFF	0	0	0
rail3	xxxx	00000000	0001	0	0	0	0000FFFF	0	0	0
short	line
`

// Only what an interface is connected to counts: no gateway, no single host, no
// link-local network, no mask with holes, no route that is down.
func TestParseRoutes(t *testing.T) {
	var got []string
	for _, route := range parseRoutes(someRoutes) {
		got = append(got, route.iface+" "+route.subnet.String())
	}
	if diff := cmp.Diff([]string{"eth0 192.168.16.0/24", "rail0 10.8.0.0/16"}, got); diff != "" {
		t.Errorf("IPv4 (-want +got):\n%s", diff)
	}
	got = nil
	for _, route := range parseRoutes6(`fd00000000080000 bad
fd000000000800000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001    rail0
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001    rail0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fe800000000000000000000000000001 00000400 00000001 00000000 00450003     eth0
fd000000000900000000000000000001 80 00000000000000000000000000000000 00 00000000000000000000000000000000 00000000 00000003 00000000 80200001    rail1
ff000000000000000000000000000000 08 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000002 00000000 00000001    rail1
`) {
		got = append(got, route.iface+" "+route.subnet.String())
	}
	if diff := cmp.Diff([]string{"rail0 fd00:0:8::/64"}, got); diff != "" {
		t.Errorf("IPv6 (-want +got):\n%s", diff)
	}
}

func TestSubnetOf(t *testing.T) {
	routes := []route{
		{"rail0", netip.MustParsePrefix("10.0.0.0/8")}, {"rail0", netip.MustParsePrefix("10.8.0.0/16")}, {"rail1", netip.MustParsePrefix("10.8.1.0/24")},
	}
	for address, want := range map[string]string{"10.8.1.2": "10.8.0.0/16", "10.9.1.2": "10.0.0.0/8", "11.0.0.1": "", "fd00::1": ""} {
		got, found := subnetOf(routes, "rail0", netip.MustParseAddr(address))
		if found != (want != "") || found && got.String() != want {
			t.Errorf("subnetOf(%s) = %s, %v; want %q", address, got, found, want)
		}
	}
}

func TestNames(t *testing.T) {
	for _, pair := range [][2]string{{"mlx5_2", "mlx5_10"}, {"mlx5_9", "mlx5_bond_0"}, {"9", "10"}, {"a01", "a1"}, {"a", "a0"}} {
		if compareNames(pair[0], pair[1]) >= 0 || compareNames(pair[1], pair[0]) <= 0 {
			t.Errorf("%s does not come before %s", pair[0], pair[1])
		}
	}
	for entry, want := range map[string]string{"nvme0n1": "1", "nvme0c3n12": "12", "ng0n1": "", "nvme0": "", "nvmexn1": "", "nvme0n1p1": "", "nvme0cn1": ""} {
		if got, found := namespaceID(entry); found != (want != "") || found && got != want {
			t.Errorf("namespaceID(%s) = %s, %v; want %q", entry, got, found, want)
		}
	}
	if got := printable("a\x00\x1b[31mb\xffé", 64); got != "a??[31mb?é" {
		t.Errorf("printable = %q", got)
	}
	if got := printable(strings.Repeat("é", 10), 5); got != "éé" {
		t.Errorf("printable cuts inside a character: %q", got)
	}
}
