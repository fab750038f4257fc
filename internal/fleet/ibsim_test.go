package fleet

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/agent/ibfabric"
)

const ibHGX64 = `
name: ib-hgx-64
provider: none
fabric: {name: fabric-a, linkLayer: InfiniBand}
pools:
- {name: hgx, shape: HGX-H100x8, blocks: 2, leaves: 2, nodes: 16, nicGbps: 400}
`

func mustParse(t testing.TB, text string) *Fleet {
	t.Helper()
	f, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func mustIBSim(t testing.TB, f *Fleet) []byte {
	t.Helper()
	netlist, err := f.IBSim()
	if err != nil {
		t.Fatal(err)
	}
	return netlist
}

// The netlist has the form of ibnetdiscover's output, so what stands in it can be
// checked without ibsim.
func TestIBSim(t *testing.T) {
	cases := map[string]*Fleet{
		"hgx-64 with InfiniBand": mustParse(t, ibHGX64),
		"nvl72-4racks":           mustLoad(t, "nvl72-4racks"),
		"mixed-1k":               mustLoad(t, "mixed-1k"),
		"one block": mustParse(t, `{name: f, provider: none, fabric: {name: fabric-a, linkLayer: InfiniBand},
			pools: [{name: p, shape: A100-PCIe, blocks: 1, leaves: 2, nodes: 4, nicGbps: 100}]}`),
		"blocks without leaves": mustParse(t, `{name: f, provider: none, fabric: {name: fabric-a, linkLayer: InfiniBand},
			pools: [{name: p, shape: HGX-H100x8, blocks: 3, nodes: 4, nicGbps: 400}]}`),
		"more leaves than a spine has ports": mustParse(t, `{name: f, provider: none, fabric: {name: fabric-a, linkLayer: InfiniBand},
			pools: [{name: p, shape: HGX-H100x8, blocks: 2, leaves: 70, nodes: 4, nicGbps: 400}]}`),
		"more blocks than a core has ports": mustParse(t, `{name: f, provider: none, fabric: {name: fabric-a, linkLayer: InfiniBand},
			pools: [{name: p, shape: A100-PCIe, blocks: 200, leaves: 2, nodes: 2, nicGbps: 200}]}`),
	}
	for name, f := range cases {
		t.Run(name, func(t *testing.T) {
			result, err := ibfabric.Read(bytes.NewReader(mustIBSim(t, f)))
			if err != nil {
				t.Fatal(err)
			}
			checkScan(t, f, result)
		})
	}
}

// checkScan compares a scan with the fleet: every network port of a machine in
// the fabric is on its own leaf switch, and nothing else is.
func checkScan(t *testing.T, f *Fleet, result ibfabric.Result) {
	t.Helper()
	if result.Incomplete != "" || len(result.Problems) > 0 {
		t.Fatalf("incomplete because of %q, problems %q", result.Incomplete, result.Problems)
	}
	want, blocks := map[string]string{}, map[string]bool{}
	blockOf := map[string]string{}
	for _, m := range f.Machines() {
		nics := len(shapes[m.Shape].nics)
		for i := range nics {
			if m.Block != "" {
				want[NICGUID(m.Name, i)] = m.leafSwitch(i, nics)
				blockOf[m.leafSwitch(i, nics)] = m.Block
				blocks[m.Block] = true
			}
		}
	}
	got := map[string]string{}
	keys := map[string]map[string]bool{}
	for _, leaf := range result.Scan.Leaves {
		for _, guid := range leaf.Adapters {
			got[colons(guid)] = leaf.Name
		}
		if leaf.GUID != SwitchGUID(leaf.Name) {
			t.Errorf("leaf switch %s has the GUID %s, want %s", leaf.Name, leaf.GUID, SwitchGUID(leaf.Name))
		}
		if keys[leaf.Block] == nil {
			keys[leaf.Block] = map[string]bool{}
		}
		keys[leaf.Block][blockOf[leaf.Name]] = true
		if leaf.Fabric != result.Scan.Leaves[0].Fabric {
			t.Errorf("leaf switch %s is in another fabric", leaf.Name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("leaf switches of adapters (-want +got):\n%s", diff)
	}
	for key, names := range keys {
		if len(names) != 1 || (key == "") != (len(blocks) == 1) {
			t.Errorf("block %q of the scan holds %v", key, names)
		}
	}
	if len(keys) != len(blocks) {
		t.Errorf("the scan has %d blocks, want %d", len(keys), len(blocks))
	}
}

func colons(guid uint64) string {
	return fmt.Sprintf("%04x:%04x:%04x:%04x", guid>>48, guid>>32&0xffff, guid>>16&0xffff, guid&0xffff)
}

func TestIBSimRefuses(t *testing.T) {
	if netlist, err := mustLoad(t, "hgx-64").IBSim(); err != nil || netlist != nil {
		t.Errorf("an Ethernet fabric has %d bytes of InfiniBand, %v", len(netlist), err)
	}
	f := mustParse(t, `{name: f, provider: none, fabric: {name: fabric-a, linkLayer: InfiniBand},
		pools: [{name: p, shape: HGX-H100x8, blocks: 1, leaves: 1, nodes: 249, nicGbps: 400}]}`)
	_, err := f.IBSim()
	if err == nil || !strings.Contains(err.Error(), "switch block-a-leaf-0-rail-0 has 251 cables") {
		t.Errorf("got %v, want an error about the switch", err)
	}
}

// The real ibnetdiscover on the real ibsim finds what the fleet describes.
func TestIBSimWithRealTools(t *testing.T) {
	for name, f := range map[string]*Fleet{"hgx-64 with InfiniBand": mustParse(t, ibHGX64), "nvl72-4racks": mustLoad(t, "nvl72-4racks")} {
		t.Run(name, func(t *testing.T) {
			netlist := mustIBSim(t, f)
			library := startIBSim(t, netlist)
			machine := f.Machines()[0]
			t.Setenv("SIM_HOST", machine.Name+" mlx5_0")
			t.Setenv("LD_PRELOAD", library)
			result, err := ibfabric.Discover{Timeout: time.Minute}.Run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			// The simulator's library greets on standard error.
			result.Problems = slices.DeleteFunc(result.Problems, func(problem string) bool { return strings.Contains(problem, "sim_connect: attached as client") })
			if len(result.Problems) == 0 {
				result.Problems = nil
			}
			checkScan(t, f, result)
			drawn, err := ibfabric.Read(bytes.NewReader(netlist))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(drawn, result); diff != "" {
				t.Errorf("ibnetdiscover finds something else than the netlist says (-netlist +found):\n%s", diff)
			}
		})
	}
}

// A spine whose power fails leaves every leaf switch in its block, with its name.
func TestIBSimDeadSpine(t *testing.T) {
	f := mustParse(t, ibHGX64)
	whole, err := ibfabric.Read(bytes.NewReader(mustIBSim(t, f)))
	if err != nil {
		t.Fatal(err)
	}
	for _, spine := range []string{"block-a-spine-0", "block-b-spine-1", "fabric-a-core-0"} {
		var left bytes.Buffer
		for section := range strings.SplitSeq(string(mustIBSim(t, f)), "\n\n") {
			if strings.Contains(section, "switchguid=0x"+SwitchGUID(spine)) {
				continue
			}
			for line := range strings.Lines(section + "\n\n") {
				if !strings.Contains(line, "S-"+SwitchGUID(spine)) {
					left.WriteString(line)
				}
			}
		}
		result, err := ibfabric.Read(&left)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole.Scan, ibfabric.Keep(whole.Scan, result.Scan)); diff != "" {
			t.Errorf("without %s (-before +after):\n%s", spine, diff)
		}
		if result.Switches != whole.Switches-1 {
			t.Errorf("%s is still there", spine)
		}
	}
}

// startIBSim simulates a fabric for the length of the test, and returns the
// library through which programs reach it. The working directory is the test's
// own afterwards, because the library writes there.
func startIBSim(t *testing.T, netlist []byte) string {
	t.Helper()
	ibsim, library := findIBSim(t)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("net", netlist, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("IBSIM_SOCKNAME", "k8s4ai-fleet-"+strconv.Itoa(os.Getpid()))
	command := exec.CommandContext(t.Context(), ibsim, "-s", "-n", "-N", "4000", "-S", "800", "-P", "80000", "net")
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = command.Stdout
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "simulator ready") {
			return library
		}
	}
	t.Fatalf("ibsim did not start:\n%s", said.String())
	return ""
}

// findIBSim skips the test where ibsim is not installed, and fails it where
// K8S4AI_REQUIRE_SYSTEM is set.
func findIBSim(t *testing.T) (ibsim, library string) {
	t.Helper()
	ibsim, err := exec.LookPath("ibsim")
	libraries, _ := filepath.Glob("/usr/lib/*/umad2sim/libumad2sim.so")
	_, errTool := exec.LookPath(ibfabric.DefaultPath)
	if err == nil && errTool == nil && len(libraries) > 0 {
		return ibsim, libraries[0]
	}
	const missing = "needs ibsim, libumad2sim and ibnetdiscover: install ibsim-utils, libumad2sim0 and infiniband-diags"
	if os.Getenv("K8S4AI_REQUIRE_SYSTEM") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return "", ""
}
