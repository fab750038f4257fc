package machine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

// faults lists the GPUs that are not healthy, such as "1 Xid79".
func faults(r v1alpha1.NodeReport) []string {
	var out []string
	for _, a := range r.Accelerators {
		if a.Health != v1alpha1.DeviceHealthy {
			out = append(out, fmt.Sprint(*a.Index, " ", a.HealthReason))
		}
	}
	return out
}

// deny takes GPU i's access to some others away, as each side tells it.
func deny(f *Facts, i int, others ...int) {
	for _, j := range others {
		for _, pair := range [][2]int{{i, j}, {j, i}} {
			for k := range f.GPUs[pair[0]].Peers {
				if p := &f.GPUs[pair[0]].Peers[k]; p.UUID == f.GPUs[pair[1]].UUID {
					p.Access = new(false)
				}
			}
		}
	}
}

// Each fault marks the devices that it concerns, with its reason, after a look at
// the healthy machine.
func TestHealth(t *testing.T) {
	cases := map[string]struct {
		change func(*Facts)
		want   []string
		says   string
	}{
		"healthy":              {func(*Facts) {}, nil, "True Healthy: "},
		"lost":                 {func(f *Facts) { f.GPUs[1].Lost = true }, []string{"1 Lost"}, "False AcceleratorUnhealthy: GPU 1 (GPU-1): Lost"},
		"no spare rows left":   {func(f *Facts) { f.GPUs[1].RemapFailure = true }, []string{"1 RowRemapFailure"}, "False AcceleratorUnhealthy: GPU 1"},
		"rows wait for a boot": {func(f *Facts) { f.GPUs[1].RemapPending = true }, nil, "True Healthy: "},
		"a recovery":           {func(f *Facts) { f.GPUs[1].Recovery = "GPUReset" }, []string{"1 GPUReset"}, "False AcceleratorUnhealthy: GPU 1"},
		"an NVLink down":       {func(f *Facts) { f.Links[2].Active = 8 }, []string{"1 NVLinkDown"}, "False NVLinkDown: GPU 1 (GPU-1): NVLinkDown"},
		"all NVLinks down": {
			func(f *Facts) { f.Links[2].Active, f.Links[3].Active = 0, 0 }, []string{"1 NVLinkDown"}, "False NVLinkDown: GPU 1",
		},
		"one GPU without its peers": {func(f *Facts) { deny(f, 2, 0, 1, 3) }, []string{"2 PeerAccessDead"}, "False AcceleratorUnhealthy: GPU 2"},
		"two GPUs, and nobody else": {
			func(f *Facts) { deny(f, 2, 3) }, []string{"2 PeerAccessDead", "3 PeerAccessDead"}, "False AcceleratorUnhealthy: GPU 2",
		},
		"no pair at all": {
			func(f *Facts) { deny(f, 0, 1, 2, 3); deny(f, 1, 2, 3); deny(f, 2, 3) },
			[]string{"0 PeerAccessDead", "1 PeerAccessDead", "2 PeerAccessDead", "3 PeerAccessDead"}, "False AcceleratorUnhealthy: GPU 0",
		},
		"peers over NVLink alone": {func(f *Facts) { f.GPUs[0].Peers[0].NVLinkAccess = new(false) }, []string{"0 PeerAccessDead", "1 PeerAccessDead"}, "False"},
		"no peers under MIG": {
			func(f *Facts) { deny(f, 2, 0, 1, 3); f.GPUs[2].MIGMode = new(true) }, nil, "True Healthy: ",
		},
		"no peers, and no NVLink that works either": {
			func(f *Facts) { deny(f, 2, 0, 1, 3); f.Links[4].Active, f.Links[5].Active = 0, 0 }, []string{"2 NVLinkDown"}, "False NVLinkDown",
		},
		"the port of one GPU down": {
			func(f *Facts) { f.NICs[3].State = "Down" }, []string{"3 NICDown"}, "False NICDown: GPU 3 (GPU-3): NICDown; mlx5_3: down, was up in this boot",
		},
		"one of two ports of a GPU": {
			func(f *Facts) {
				f.Relations = append(f.Relations, Relation{"GPU-3", "mlx5_2", "PIX"})
				f.NICs[3].State = "Down"
			}, nil, "False NICDown: mlx5_3: down",
		},
		"a port in no state": {func(f *Facts) { f.NICs[3].State = "?" }, nil, "True Healthy: "},
		"one look at hot clocks is none": {
			func(f *Facts) { f.GPUs[0].Throttle = []string{"HwThermalSlowdown"} }, nil, "True Healthy: ",
		},
		"another vendor without a health source": {func(f *Facts) { f.GPUs[0].PCIID = "1002:74a1" }, []string{"0 "}, "True Healthy: "},
		"the worst of several": {
			func(f *Facts) { f.NICs[3].State = "Down"; f.Links[2].Active = 8; f.GPUs[0].Lost = true },
			[]string{"0 Lost", "1 NVLinkDown", "3 NICDown"},
			"False AcceleratorUnhealthy: GPU 0 (GPU-0): Lost; GPU 1 (GPU-1): NVLinkDown; GPU 3 (GPU-3): NICDown; mlx5_3: down, was up in this boot",
		},
	}
	s := statusSchema(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, history := Report(hgx(4), History{})
			facts := hgx(4)
			tc.change(&facts)
			report, conditions, _ := Report(facts, history)
			if diff := cmp.Diff(tc.want, faults(report)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
			if got := told(t, conditions, "Healthy"); !strings.HasPrefix(got, tc.says) {
				t.Errorf("Healthy is %q, want %q", got, tc.says)
			}
			if refused := s.check(t, report, conditions); refused != nil {
				t.Errorf("the API server would refuse: %v", refused)
			}
		})
	}
}

// What has never worked in this boot is not connected, and no fault.
func TestNeverUp(t *testing.T) {
	facts := hgx(2)
	facts.NICs[0].State = "Down"
	for i := range facts.Links {
		facts.Links[i].Active = 0 // PCIe cards without a bridge say so.
	}
	report, conditions, history := Report(facts, History{})
	if got := faults(report); got != nil || report.NICs[0].Health != v1alpha1.DeviceUnknown {
		t.Errorf("faults %v, the port is %s", got, report.NICs[0].Health)
	}
	if got := told(t, conditions, "Healthy"); got != "True Healthy: " {
		t.Errorf("Healthy is %q", got)
	}
	facts.NICs[0].State = "Active"
	_, _, history = Report(facts, history)
	facts.NICs[0].State = "Down"
	report, _, _ = Report(facts, history)
	if diff := cmp.Diff([]string{"0 NICDown"}, faults(report)); diff != "" {
		t.Errorf("after the port was up (-want +got):\n%s", diff)
	}
}

// A driver's error stays until the machine boots anew, and an agent that starts
// anew finds it in the stored report. Errors of applications are none.
func TestXid(t *testing.T) {
	facts := hgx(2)
	_, _, history := Report(facts, History{})
	for _, xid := range []uint64{13, 31, 43, 45, 68, 109} {
		history = history.Record("GPU-0", xid)
	}
	history = history.Record("GPU-1", 79).Record("GPU-1", 48).Record("", 79)
	report, conditions, history := Report(facts, history)
	if diff := cmp.Diff([]string{"1 Xid79"}, faults(report)); diff != "" {
		t.Errorf("faults (-want +got):\n%s", diff)
	}
	if got, want := told(t, conditions, "Healthy"), "False AcceleratorUnhealthy: GPU 1 (GPU-1): Xid79"; got != want {
		t.Errorf("Healthy is %q, want %q", got, want)
	}
	again, _, _ := Report(facts, history)
	restarted, _, _ := Report(facts, Restore(report))
	_, _, fresh := Report(facts, History{})
	late, _, _ := Report(facts, fresh.Join(Restore(report)))
	for name, r := range map[string]v1alpha1.NodeReport{"the next look": again, "an agent that starts anew": restarted, "one that reads late": late} {
		if Material(report, r) {
			t.Errorf("%s differs:\n%s", name, cmp.Diff(report, r))
		}
	}
	facts.BootID = "boot-2"
	for name, h := range map[string]History{"the same agent": history, "another one": Restore(report), "one that reads late": fresh.Join(Restore(report))} {
		if after, _, _ := Report(facts, h); faults(after) != nil {
			t.Errorf("%s after a boot: %v", name, faults(after))
		}
	}
}

// Every fault that needs to know the past survives a new agent on the same boot.
func TestRestore(t *testing.T) {
	cases := map[string]func(*Facts){
		"a port down":      func(f *Facts) { f.NICs[1].State = "Down" },
		"an NVLink down":   func(f *Facts) { f.Links[0].Active = 3 },
		"all NVLinks down": func(f *Facts) { f.Links[0].Active, f.Links[1].Active = 0, 0 },
		"a GPU is gone":    func(f *Facts) { f.GPUs, f.Links = f.GPUs[:1], f.Links[:2] },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			facts := hgx(2)
			_, _, history := Report(facts, History{})
			change(&facts)
			before, _, _ := Report(facts, history)
			if faults(before) == nil {
				t.Fatal("there is no fault")
			}
			after, _, _ := Report(facts, Restore(before))
			if Material(before, after) {
				t.Errorf("the new agent differs (-before +after):\n%s", cmp.Diff(before, after))
			}
		})
	}
}

// A bridge between two GPUs loses connections. The reader of a new agent knows only
// those that work, and the report still tells of the others, until they are back.
func TestBridge(t *testing.T) {
	bridged := func(active, known int) Facts {
		f := hgx(2)
		f.Links = nil
		for i := range 2 {
			if known > 0 {
				f.Links = append(f.Links, Link{From: f.GPUs[i].UUID, To: f.GPUs[1-i].UUID, Total: known, Active: active})
			}
		}
		return f
	}
	both := []string{"0 NVLinkDown", "1 NVLinkDown"}
	steps := []struct {
		name  string
		facts Facts
		anew  bool
		links int
		want  []string
	}{
		{"all work", bridged(4, 4), false, 4, nil},
		{"one is down", bridged(3, 4), false, 4, both},
		{"a new agent does not know it", bridged(3, 3), true, 4, both},
		{"none is left", bridged(0, 4), false, 4, both},
		{"a new agent knows none", bridged(0, 0), true, 4, both},
		{"all are back", bridged(4, 4), false, 4, nil},
	}
	var history History
	var report v1alpha1.NodeReport
	for _, step := range steps {
		if step.anew {
			history = Restore(report)
		}
		report, _, history = Report(step.facts, history)
		if diff := cmp.Diff(step.want, faults(report)); diff != "" {
			t.Errorf("%s: faults (-want +got):\n%s", step.name, diff)
		}
		if len(report.NVLinks) != 2 || int(report.NVLinks[0].Links) != step.links {
			t.Errorf("%s: links %+v", step.name, report.NVLinks)
		}
	}
	split := bridged(0, 0)
	for i := range split.GPUs {
		split.GPUs[i].MIGMode = new(true)
	}
	if report, _, _ = Report(split, history); faults(report) != nil || report.NVLinks != nil {
		t.Errorf("under MIG: %v, %+v", faults(report), report.NVLinks)
	}
}

// Clocks that are held down for heat on several looks in a row are a fault, and as
// many cool looks end it.
func TestThermal(t *testing.T) {
	hot, cool := hgx(1), hgx(1)
	hot.GPUs[0].Throttle = []string{"HwThermalSlowdown"}
	var got []bool
	var history History
	for _, isHot := range []bool{true, true, false, true, true, true, true, false, false, true, false, false, false} {
		facts := cool
		if isHot {
			facts = hot
		}
		var report v1alpha1.NodeReport
		report, _, history = Report(facts, history)
		got = append(got, len(faults(report)) > 0)
		if len(got) == 8 {
			history = Restore(report) // The agent starts anew.
		}
	}
	want := []bool{false, false, false, false, false, true, true, true, true, true, true, true, false}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("too hot (-want +got):\n%s", diff)
	}
}

// A GPU that the driver no longer lists stays in the report; a driver that is gone
// takes all of them with it, and brings them back.
func TestMissing(t *testing.T) {
	whole := hgx(4)
	_, _, history := Report(whole, History{})
	part := hgx(4)
	part.GPUs = append(part.GPUs[:1:1], part.GPUs[2:]...)
	report, conditions, history := Report(part, history)
	if diff := cmp.Diff([]string{"1 Lost"}, faults(report)); diff != "" || len(report.Accelerators) != 4 {
		t.Errorf("faults of %d accelerators (-want +got):\n%s", len(report.Accelerators), diff)
	}
	if got := told(t, conditions, "Healthy"); !strings.HasPrefix(got, "False AcceleratorUnhealthy: GPU 1 (GPU-1): Lost") {
		t.Errorf("Healthy is %q", got)
	}
	none := hgx(4)
	none.GPUs, none.Links = nil, nil
	report, _, history = Report(none, history)
	if diff := cmp.Diff([]string{"0 Lost", "1 Lost", "2 Lost", "3 Lost"}, faults(report)); diff != "" {
		t.Errorf("faults when the driver lists none (-want +got):\n%s", diff)
	}
	none.Driver = ""
	report, conditions, history = Report(none, history)
	if len(report.Accelerators) != 0 || told(t, conditions, "Discovered") != "True NoAccelerator: " {
		t.Errorf("without a driver: %+v, %v", report.Accelerators, conditions)
	}
	if report, _, _ = Report(whole, history); faults(report) != nil || len(report.Accelerators) != 4 {
		t.Errorf("with the driver again: %d accelerators, %v", len(report.Accelerators), faults(report))
	}
}

// Nearest ports: by the tree, by the rails where numbers fit, and all otherwise.
func TestNICDownByRails(t *testing.T) {
	cases := map[string]struct {
		gpus, ports int
		down        []int
		want        []string
	}{
		"one each":                    {4, 4, []int{2}, []string{"2 NICDown"}},
		"two each, one down":          {2, 4, []int{2}, nil},
		"two each, both down":         {2, 4, []int{2, 3}, []string{"1 NICDown"}},
		"one for two":                 {4, 2, []int{1}, []string{"2 NICDown", "3 NICDown"}},
		"no fit, some are left":       {4, 3, []int{0, 1}, nil},
		"no fit, none is left":        {2, 3, []int{0, 1, 2}, []string{"0 NICDown", "1 NICDown"}},
		"one for all of them, and up": {4, 1, nil, nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			facts := hgx(max(tc.gpus, tc.ports))
			facts.Virtual = true
			facts.GPUs, facts.Links, facts.NICs = facts.GPUs[:tc.gpus], facts.Links[:2*tc.gpus], facts.NICs[:tc.ports]
			_, _, history := Report(facts, History{})
			for _, i := range tc.down {
				facts.NICs[i].State = "Down"
			}
			report, _, _ := Report(facts, history)
			if diff := cmp.Diff(tc.want, faults(report)); diff != "" {
				t.Errorf("faults (-want +got):\n%s", diff)
			}
		})
	}
}

// A message is bounded whatever is broken.
func TestMessagesAreBounded(t *testing.T) {
	facts := hgx(16)
	for i := range facts.GPUs {
		facts.GPUs[i].UUID = strings.Repeat("u", 100) + fmt.Sprint(i)
		facts.GPUs[i].Lost = true
	}
	for i := range 1000 {
		facts.Problems = append(facts.Problems, Problem{Device: fmt.Sprint("device ", i), What: strings.Repeat("broken ", 100)})
	}
	_, conditions, _ := Report(facts, History{})
	for _, c := range conditions {
		if len(c.Message) > 1024 || len(c.Message) < 600 || !strings.Contains(c.Message, " more") {
			t.Errorf("%s has a message of %d bytes: %s", c.Type, len(c.Message), c.Message)
		}
	}
}

func TestCompareNatural(t *testing.T) {
	sorted := []string{"", "mlx5", "mlx5_0", "mlx5_1", "mlx5_01", "mlx5_2", "mlx5_10", "mlx5_10/2", "nvme0"}
	for i := range sorted {
		for j := range sorted {
			if got := compareNatural(sorted[i], sorted[j]); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("compareNatural(%q, %q) = %d", sorted[i], sorted[j], got)
			}
		}
	}
}
