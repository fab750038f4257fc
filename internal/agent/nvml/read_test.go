//go:build cgo

package nvml

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/agent/machine"
	"github.com/k8s4ai/k8s4ai/internal/fleet"
)

// seen is what a reading and a node report have in common.
type seen struct {
	Driver string
	GPUs   []v1alpha1.Accelerator
	Links  []v1alpha1.NVLink
	Paths  map[string]v1alpha1.PCIePath
}

func seenIn(reading Reading) seen {
	out := seen{Driver: reading.Driver, Paths: map[string]v1alpha1.PCIePath{}}
	for _, g := range reading.GPUs {
		a := v1alpha1.Accelerator{
			UUID: g.UUID, Index: new(int32(g.Index)), ProductName: g.Name, PCIAddress: g.PCIAddress, PCIID: g.PCIID,
			MemoryBytes: g.MemoryTotal, ComputeCapability: g.ComputeCapability, C2CGBps: int32(g.C2CGBps),
		}
		if g.MemoryReserved != machine.Unknown {
			a.MemoryReservedBytes = new(g.MemoryReserved)
		}
		if g.NUMANode != machine.Unknown {
			a.NUMANode = new(int32(g.NUMANode))
		}
		if g.MIGMode != nil {
			a.MIGMode = map[bool]v1alpha1.MIGMode{true: v1alpha1.MIGEnabled, false: v1alpha1.MIGDisabled}[*g.MIGMode]
		}
		out.GPUs = append(out.GPUs, a)
		for _, peer := range g.Peers {
			out.Paths[g.UUID+" "+peer.UUID] = v1alpha1.PCIePath(peer.Path)
		}
	}
	for _, link := range reading.Links {
		out.Links = append(out.Links, v1alpha1.NVLink{
			From: link.From, To: link.To, Links: int32(link.Total), ActiveLinks: new(int32(link.Active)),
			LinkGbps: int32(link.Gbps), Version: link.Version,
		})
	}
	return out
}

func seenBy(report *v1alpha1.NodeReport, paths map[string]v1alpha1.PCIePath) seen {
	out := seen{Driver: report.DriverVersion, Links: report.NVLinks, Paths: paths}
	for _, a := range report.Accelerators {
		a.Health = ""
		out.GPUs = append(out.GPUs, a)
	}
	isGPU := func(uuid string) bool { return strings.HasPrefix(uuid, "GPU-") }
	for _, relation := range report.PCIeRelations {
		if isGPU(relation.To) {
			paths[relation.From+" "+relation.To], paths[relation.To+" "+relation.From] = relation.Path, relation.Path
		}
	}
	return out
}

// What is read of a machine is what the fleet says of it.
func TestShapes(t *testing.T) {
	shapes := []string{"HGX-H100x8", "HGX-H200x8", "HGX-B200x8", "GB200-NVL72", "A100-PCIe", "L40S"}
	for _, shape := range shapes {
		for _, provider := range []fleet.Provider{fleet.ProviderNone, fleet.ProviderDOKS} {
			t.Run(shape+" "+string(provider), func(t *testing.T) {
				f := oneMachine(t, shape, provider)
				report := f.Reports()[0].Status.Node
				reading := open(t, string(f.NVML(f.Machines()[0]))).Read()
				if len(reading.Problems) > 0 {
					t.Errorf("problems %v", reading.Problems)
				}
				got := seenIn(reading)
				// The report leaves out GPUs that are far from each other.
				far := map[string]v1alpha1.PCIePath{}
				for pair, path := range got.Paths {
					if path == v1alpha1.PCIeNODE || path == v1alpha1.PCIeSYS {
						far[pair] = path
					}
				}
				if diff := gocmp.Diff(seenBy(report, far), got); diff != "" {
					t.Errorf("(-report +read):\n%s", diff)
				}
				checkFabric(t, report, &reading)
				checkAccess(t, report, &reading)
			})
		}
	}
}

func checkFabric(t *testing.T, report *v1alpha1.NodeReport, reading *Reading) {
	t.Helper()
	for _, g := range reading.GPUs {
		switch {
		case len(reading.Links) == 0:
			if g.Fabric != nil {
				t.Errorf("GPU %d has fabric %+v without NVLink", g.Index, g.Fabric)
			}
		case report.NVLinkFabric == nil:
			want := &machine.Fabric{ClusterUUID: "00000000-0000-0000-0000-000000000000", State: "Completed", Health: "Healthy"}
			if diff := gocmp.Diff(want, g.Fabric); diff != "" {
				t.Errorf("fabric of a machine on its own (-want +got):\n%s", diff)
			}
		default:
			want := &machine.Fabric{
				ClusterUUID: report.NVLinkFabric.ClusterUUID, CliqueID: uint32(*report.NVLinkFabric.CliqueID),
				State: "Completed", Health: string(report.NVLinkFabric.Health), Rack: g.Fabric.Rack,
			}
			if diff := gocmp.Diff(want, g.Fabric); diff != "" || len(g.Fabric.Rack) != 13 {
				t.Errorf("rack %q; fabric (-want +got):\n%s", g.Fabric.Rack, diff)
			}
		}
	}
}

func checkAccess(t *testing.T, report *v1alpha1.NodeReport, reading *Reading) {
	t.Helper()
	for _, g := range reading.GPUs {
		if len(g.Peers) != len(report.Accelerators)-1 {
			t.Errorf("GPU %d has %d peers", g.Index, len(g.Peers))
		}
		for _, peer := range g.Peers {
			if peer.Access == nil || !*peer.Access || peer.NVLinkAccess == nil || *peer.NVLinkAccess != (len(reading.Links) > 0) {
				t.Errorf("GPU %d and %s: access %v, over NVLink %v", g.Index, peer.UUID, peer.Access, peer.NVLinkAccess)
			}
		}
	}
}

// linkOf returns the link of a GPU to an end.
func linkOf(r *Reading, gpu int, to string) *machine.Link {
	i := slices.IndexFunc(r.Links, func(l machine.Link) bool { return l.From == r.GPUs[gpu].UUID && l.To == to })
	if i < 0 {
		r.Links = append(r.Links, machine.Link{From: r.GPUs[gpu].UUID, To: to})
		sortLinks(r)
		return linkOf(r, gpu, to)
	}
	return &r.Links[i]
}

func sortLinks(r *Reading) {
	index := map[string]int{}
	for _, g := range r.GPUs {
		index[g.UUID] = g.Index
	}
	slices.SortFunc(r.Links, func(a, b machine.Link) int {
		return cmp.Or(cmp.Compare(index[a.From], index[b.From]), cmp.Compare(a.To, b.To))
	})
}

// peerOf returns how one GPU sees another one.
func peerOf(r *Reading, from, to int) *machine.Peer {
	i := slices.IndexFunc(r.GPUs[from].Peers, func(p machine.Peer) bool { return p.UUID == r.GPUs[to].UUID })
	return &r.GPUs[from].Peers[i]
}

// lose is what a look at a lost GPU differs by.
func lose(r *Reading, gpu int) {
	g := &r.GPUs[gpu]
	g.Lost, g.MemoryUsed, g.TemperatureC = true, machine.Unknown, machine.Unknown
	for i := range r.GPUs {
		if i == gpu {
			continue
		}
		for _, p := range []*machine.Peer{peerOf(r, i, gpu), peerOf(r, gpu, i)} {
			p.Access, p.NVLinkAccess = nil, nil
		}
	}
	for i := range r.Links {
		if r.Links[i].From == g.UUID {
			r.Links[i].Active = 0
		}
	}
}

func problem(r *Reading, device, what string) {
	r.Problems = append(r.Problems, machine.Problem{Device: device, What: what})
}

// Each fault appears while the agent runs, as lines that are added to the
// description, and changes what it must and nothing else.
func TestFaults(t *testing.T) {
	const toFirst = "switch-0000:07:00.0"
	cases := map[string]struct {
		shape string // HGX-H100x8 unless set
		lines string
		want  func(healthy *Reading)
	}{
		"a link is down": {
			lines: "link 2 0 down",
			want:  func(r *Reading) { linkOf(r, 2, toFirst).Active-- },
		},
		"all links are down": {
			lines: "link 2 * down",
			want: func(r *Reading) {
				for i := range r.Links {
					if r.Links[i].From == r.GPUs[2].UUID {
						r.Links[i].Active = 0
					}
				}
			},
		},
		"access is dead while links are active": {
			lines: "pair 1 3 read 5\npair 1 3 nvlink 5",
			want: func(r *Reading) {
				for _, p := range []*machine.Peer{peerOf(r, 1, 3), peerOf(r, 3, 1)} {
					p.Access, p.NVLinkAccess = new(false), new(false)
				}
			},
		},
		"access is unknown": {
			lines: "pair 1 3 read 6",
			want:  func(r *Reading) { peerOf(r, 1, 3).Access, peerOf(r, 3, 1).Access = nil, nil },
		},
		"fabric unhealthy though completed": {
			lines: "gpu 4 fabric-summary 2",
			want:  func(r *Reading) { r.GPUs[4].Fabric.Health = "Unhealthy" },
		},
		"fabric degraded by mask alone": {
			lines: "gpu 4 fabric-mask 0x1a9",
			want:  func(r *Reading) { r.GPUs[4].Fabric.Health = "Limited" },
		},
		"fabric wrongly configured": {
			lines: "gpu 4 fabric-mask 0x5aa\ngpu 4 fabric-summary 0",
			want:  func(r *Reading) { r.GPUs[4].Fabric.Health = "Unhealthy" },
		},
		"fabric registered with an error": {
			lines: "gpu 4 fabric-status 999",
			want:  func(r *Reading) { r.GPUs[4].Fabric.Health = "Unhealthy" },
		},
		"fabric not registered yet": {
			lines: "gpu 4 fabric-state 2",
			want:  func(r *Reading) { r.GPUs[4].Fabric.State, r.GPUs[4].Fabric.Health = "InProgress", "" },
		},
		"fabric without a summary": {
			lines: "gpu * fabric-api 2",
			want:  func(*Reading) {},
		},
		"fabric without health": {
			lines: "gpu * fabric-api 1",
			want: func(r *Reading) {
				for i := range r.GPUs {
					r.GPUs[i].Fabric.Health = ""
				}
			},
		},
		"a GPU is lost": {
			lines: "error 5 * 15",
			want: func(r *Reading) {
				lose(r, 5)
				problem(r, "GPU 5 "+r.GPUs[5].UUID, "it answers no call: GPU is lost (NVML error 15)")
			},
		},
		"a GPU is lost in the middle of a look": {
			lines: "error 5 nvmlDeviceGetMemoryInfo_v2 15",
			want: func(r *Reading) {
				lose(r, 5)
				problem(r, "GPU 5 "+r.GPUs[5].UUID, "memory: GPU is lost (NVML error 15)")
			},
		},
		"a GPU needs a reset and answers no call": {
			lines: "error 0 * 16",
			want: func(r *Reading) {
				lose(r, 0)
				r.GPUs[0].Recovery = "GPUReset"
				problem(r, "GPU 0 "+r.GPUs[0].UUID, "it answers no call: Unknown Error (NVML error 16)")
			},
		},
		"every GPU is lost": {
			shape: "A100-PCIe",
			lines: "error * * 15",
			want: func(r *Reading) {
				for i := range r.GPUs {
					lose(r, i)
					problem(r, "GPU "+string(rune('0'+i))+" "+r.GPUs[i].UUID, "it answers no call: GPU is lost (NVML error 15)")
				}
			},
		},
		"one call fails": {
			lines: "error 6 nvmlDeviceGetTotalEccErrors 999\nerror 6 nvmlDeviceGetTemperatureV 999",
			want: func(r *Reading) {
				r.GPUs[6].TemperatureC = machine.Unknown
				problem(r, "GPU 6 "+r.GPUs[6].UUID, "ECC errors: Unknown Error (NVML error 999); temperature: Unknown Error (NVML error 999)")
			},
		},
		"memory errors": {
			lines: "gpu 1 ecc-uncorrected 3\ngpu 1 remap-pending 1\ngpu 2 remap-failure 1",
			want: func(r *Reading) {
				r.GPUs[1].UncorrectableECC, r.GPUs[1].RemapPending, r.GPUs[2].RemapFailure = 3, true, true
			},
		},
		"the driver asks for a recovery": {
			lines: "gpu 0 recovery 1\ngpu 1 recovery 2\ngpu 2 recovery 3\ngpu 3 recovery 4\ngpu 4 recovery 7",
			want: func(r *Reading) {
				for i, action := range []string{"GPUReset", "NodeReboot", "DrainP2P", "DrainAndReset", "Action7"} {
					r.GPUs[i].Recovery = action
				}
			},
		},
		"hot and slow": {
			lines: "gpu 3 temperature 91\ngpu 3 throttle 0x48",
			want: func(r *Reading) {
				r.GPUs[3].TemperatureC, r.GPUs[3].Throttle = 91, []string{"HwSlowdown", "HwThermalSlowdown"}
			},
		},
		"MIG is switched on and links with it off": {
			lines: "gpu 7 mig 1\nlink 7 * down\ngpu 7 mig-instance 1 1 10194\ngpu 7 mig-instance 3 3 40779\ngpu 7 mig-instance 3 1 40779",
			want: func(r *Reading) {
				r.GPUs[7].MIGMode, r.GPUs[7].MIGProfiles = new(true), []string{"1g.10gb", "3g.40gb", "1c.3g.40gb"}
				r.Links = slices.DeleteFunc(r.Links, func(l machine.Link) bool { return l.From == r.GPUs[7].UUID })
			},
		},
		"a chip-to-chip link is down": {
			shape: "GB200-NVL72",
			lines: "gpu 1 c2c-down 2",
			want:  func(r *Reading) { r.GPUs[1].C2CLinks, r.GPUs[1].C2CGBps = 8, 360 },
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			description := machineOf(t, cmp.Or(tc.shape, "HGX-H100x8"))
			d := open(t, description)
			want := d.Read()
			describeMachine(t, description+tc.lines+"\n")
			got := d.Read()
			tc.want(&want)
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			describeMachine(t, description)
			healed := d.Read()
			if len(healed.Problems) > 0 || slices.ContainsFunc(healed.GPUs, func(g machine.GPU) bool { return g.Lost || g.Recovery != "" }) {
				t.Errorf("after the fault: problems %v", healed.Problems)
			}
		})
	}
}

// What an agent sees that starts when the fault is there already.
func TestFaultsAtTheStart(t *testing.T) {
	cases := map[string]struct {
		shape string
		lines string
		check func(t *testing.T, r *Reading)
	}{
		"a silent link counts where links end on switches": {
			"HGX-H100x8", "link 2 0 down", func(t *testing.T, r *Reading) {
				want := machine.Link{From: r.GPUs[2].UUID, To: "switch-unknown", Total: 1, Gbps: 200}
				if diff := gocmp.Diff(want, *linkOf(r, 2, "switch-unknown")); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			},
		},
		"a GPU whose links are all silent among others": {
			"HGX-H100x8", "link 2 * down", func(t *testing.T, r *Reading) {
				if link := *linkOf(r, 2, "switch-unknown"); link.Total != 18 || link.Active != 0 {
					t.Errorf("link %+v", link)
				}
			},
		},
		"no link of a machine is connected": {
			"HGX-H100x8", "link * * down", func(t *testing.T, r *Reading) {
				if len(r.Links) > 0 || len(r.GPUs) != 8 {
					t.Errorf("links %v", r.Links)
				}
			},
		},
		"a card without a bridge": {
			"A100-PCIe", "gpu * links 12\nlink * * down", func(t *testing.T, r *Reading) {
				if len(r.Links) > 0 {
					t.Errorf("links %v", r.Links)
				}
			},
		},
		"cards with a bridge": {
			"A100-PCIe", "gpu * links 12\nlink 0 * gpu 1\nlink 1 * gpu 0\nlink 2-3 * down\nlink 0-1 * version 4\ngpu 0-1 link-mbps 25000", func(t *testing.T, r *Reading) {
				want := []machine.Link{
					{From: r.GPUs[0].UUID, To: r.GPUs[1].UUID, Total: 12, Active: 12, Gbps: 200, Version: "3.0"},
					{From: r.GPUs[1].UUID, To: r.GPUs[0].UUID, Total: 12, Active: 12, Gbps: 200, Version: "3.0"},
				}
				if diff := gocmp.Diff(want, r.Links); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			},
		},
		"a link to a CPU and one to a GPU that is not ours": {
			"A100-PCIe", "gpu 0 links 2\nlink 0 0 npu 0004:04:00.0\nlink 0 1 gpu 63", func(t *testing.T, r *Reading) {
				if len(r.Links) != 0 {
					t.Errorf("links %v", r.Links)
				}
			},
		},
		"a GPU that never answered": {
			"A100-PCIe", "error 2 * 15", func(t *testing.T, r *Reading) {
				want := []machine.Problem{{Device: "GPU 2", What: "it answers no call: GPU is lost (NVML error 15)"}}
				if diff := gocmp.Diff(want, r.Problems); diff != "" || len(r.GPUs) != 3 {
					t.Errorf("%d GPUs; problems (-want +got):\n%s", len(r.GPUs), diff)
				}
			},
		},
		"two GPUs with one UUID": {
			"A100-PCIe", "gpu 3 uuid GPU-0\ngpu 1 uuid GPU-0", func(t *testing.T, r *Reading) {
				want := []machine.Problem{{Device: "GPU 3", What: "it has the UUID GPU-0 of GPU 1: only GPU 1 is reported"}}
				if diff := gocmp.Diff(want, r.Problems); diff != "" || len(r.GPUs) != 3 || r.GPUs[1].UUID != "GPU-0" {
					t.Errorf("%d GPUs; problems (-want +got):\n%s", len(r.GPUs), diff)
				}
			},
		},
		"MIG is on": {
			"HGX-H200x8", "gpu 0 mig 1\ngpu 0 mig-instance 7 7 143771", func(t *testing.T, r *Reading) {
				if diff := gocmp.Diff([]string{"7g.141gb"}, r.GPUs[0].MIGProfiles); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				offered := []string{"1g.18gb", "2g.35gb", "3g.71gb", "4g.71gb", "7g.141gb", "1g.35gb"}
				if diff := gocmp.Diff(offered, r.GPUs[0].MIGSupported); diff != "" {
					t.Errorf("offered (-want +got):\n%s", diff)
				}
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := open(t, machineOf(t, tc.shape)+tc.lines+"\n").Read()
			tc.check(t, &r)
		})
	}
}

// An old driver tells less, and no call to it ends the process.
func TestOldDriver(t *testing.T) {
	for _, shape := range []string{"HGX-H100x8", "A100-PCIe"} {
		t.Run(shape, func(t *testing.T) {
			description := machineOf(t, shape) + "gpu 0 mig 1\ngpu 0 mig-instance 1 1 9728\n"
			want := inChild(t, filepath.Join(fake, libraryName), description)
			got := inChild(t, filepath.Join(fake, "old", libraryName), description)
			for i := range want.GPUs {
				g := &want.GPUs[i]
				g.NUMANode, g.Fabric, g.MIGProfiles = machine.Unknown, nil, nil
				g.MemoryUsed, g.MemoryReserved = g.MemoryReserved, machine.Unknown
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestClosedDriver(t *testing.T) {
	d := open(t, machineOf(t, "L40S"))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if r := d.Read(); len(r.GPUs) > 0 || len(r.Problems) != 1 {
		t.Errorf("read %+v", r)
	}
	if err := d.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
	if again := open(t, machineOf(t, "L40S")).Read(); len(again.GPUs) != 1 {
		t.Errorf("opened again: %+v", again)
	}
}
