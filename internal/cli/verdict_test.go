package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

func placedVerdict() GangVerdict {
	return GangVerdict{Namespace: "ml", Name: "moe", Fits: true, Placement: &v1alpha1.GangPlacement{
		Level: v1alpha1.LevelBlock, Domain: "block-a",
		Spread:    []v1alpha1.LevelSpread{{Level: v1alpha1.LevelFabric, Domains: 1}, {Level: v1alpha1.LevelBlock, Domains: 1}, {Level: v1alpha1.LevelNode, Domains: 9}},
		Groups:    []v1alpha1.GroupPlacement{{Name: "tp", Level: v1alpha1.LevelNVLinkDomain, EstimatedGbps: 3600}, {Name: "far"}},
		Bandwidth: &v1alpha1.GangBandwidth{EstimatedGbps: 200, BestGbps: 400, BottleneckLevel: v1alpha1.LevelLeaf, BottleneckDomain: "block-a-leaf-1"},
		Roles: []v1alpha1.RolePlacement{
			{Name: "driver", Replicas: 1, Hosts: "cpu-00"},
			{Name: "worker", Replicas: 8, ClassName: "h100", Hosts: "hgx-a-0-[00-03],hgx-a-1-[02-03],hgx-a-1-07,hgx-a-1-09", SpareHosts: "hgx-a-1-11"},
		},
	}}
}

func refusedVerdict() GangVerdict {
	return GangVerdict{Namespace: "ml", Name: "big", Refusal: &Refusal{
		Reason: v1alpha1.ReasonWaitingForRoom, Proof: "None", sentence: "needs 24 slots in one Block, best is block-b with 17; short of nvidia.com/gpu",
		Levels:   []LevelBest{{Level: "Cluster", Found: 40, Needed: 24}, {Level: "Block", Domain: "block-b", Found: 17, Needed: 24}},
		Excluded: []Exclusion{{Reason: "cordoned", Nodes: 2}, {Reason: "tainted team", Nodes: 118}},
		Remedies: []Remedy{{Kind: RemedyEnd, Text: "the end of ml/a, ml/b"}, {Kind: RemedyShrink, Text: "roles[worker].minReplicas: 17 of 24"}},
	}}
}

func TestVerdict(t *testing.T) {
	impossible := refusedVerdict()
	impossible.Refusal.Reason, impossible.Refusal.Proof = v1alpha1.ReasonUnsatisfiable, "Exact"
	impossible.Refusal.Levels, impossible.Refusal.Excluded = nil, nil
	cases := map[string]struct {
		width   int
		colour  bool
		verdict GangVerdict
		want    string
	}{
		"placed": {100, true, placedVerdict(), `
ml/moe fits in Block block-a
  spread: 1 Fabric, 1 Block, 9 Node
  each slice of tp: in one NVLinkDomain, about 3600 Gbps
  each slice of far: in no one domain
  bandwidth: about 200 Gbps per device of 400 at best, by the links of Leaf block-a-leaf-1
  ROLE     PODS  CLASS  NODES
  driver      1  -      cpu-00
  worker      8  h100   hgx-a-0-[00-03],hgx-a-1-[02-03],hgx-a-1-07,hgx-a-1-09
          spare         hgx-a-1-11
`},
		"placed, narrow": {50, false, placedVerdict(), `
ml/moe fits in Block block-a
  spread: 1 Fabric, 1 Block, 9 Node
  each slice of tp: in one NVLinkDomain, about
  3600 Gbps
  each slice of far: in no one domain
  bandwidth: about 200 Gbps per device of 400 at
  best, by the links of Leaf block-a-leaf-1
  ROLE     PODS  CLASS  NODES
  driver      1  -      cpu-00
  worker      8  h100   hgx-a-0-[00-03],
                        hgx-a-1-[02-03],
                        hgx-a-1-07,hgx-a-1-09
          spare         hgx-a-1-11
`},
		"refused": {80, false, refusedVerdict(), `
ml/big does not fit: WaitingForRoom
  needs 24 slots in one Block, best is block-b with 17; short of nvidia.com/gpu
  The search gave up at its bound: a placement may exist.
  LEVEL    BEST DOMAIN  FOUND  NEEDED
  Cluster  -               40      24
  Block    block-b         17      24
  NODES  LEFT OUT BECAUSE
      2  cordoned
    118  tainted team
  It would fit with one of:
  - the end of ml/a, ml/b
  - roles[worker].minReplicas: 17 of 24
`},
		"refused for ever, narrow, in colour": {44, true, impossible, "\n" +
			"\x1b[31mml/big does not fit: Unsatisfiable\x1b[0m\n" + `  needs 24 slots in one Block, best is
  block-b with 17; short of nvidia.com/gpu
  The empty fleet would hold it with one of:
  - the end of ml/a, ml/b
  - roles[worker].minReplicas: 17 of 24
`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := &sheet{width: tc.width, colour: tc.colour}
			s.verdict(&tc.verdict)
			if diff := cmp.Diff(strings.TrimPrefix(tc.want, "\n"), s.String()); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

// A file decides what names and messages say: none of it controls the terminal.
func TestVerdictKeepsControlsOut(t *testing.T) {
	v := refusedVerdict()
	v.Name, v.Refusal.sentence = "a\x1b[2J", "b\x1b[2J\r\n"
	v.Refusal.Levels[1].Domain, v.Refusal.Excluded[0].Reason, v.Refusal.Remedies[0].Text = "c\x1b", "d\x07", "e\x1b"
	s := &sheet{width: 80}
	s.verdict(&v)
	if strings.ContainsAny(s.String(), "\x1b\x07\r") {
		t.Errorf("a control character is left: %q", s.String())
	}
}

func TestBandwidth(t *testing.T) {
	cases := map[string]struct {
		of   v1alpha1.GangBandwidth
		want string
	}{
		"nothing known":  {v1alpha1.GangBandwidth{}, "not known"},
		"a link unknown": {v1alpha1.GangBandwidth{BottleneckLevel: v1alpha1.LevelLeaf, BottleneckDomain: "l"}, "not known: the links of Leaf l have no figure"},
		"no best":        {v1alpha1.GangBandwidth{EstimatedGbps: 7}, "about 7 Gbps per device"},
	}
	for name, tc := range cases {
		if got := bandwidth(&tc.of); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
