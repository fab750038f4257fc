package ibfabric

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/k8s4ai/k8s4ai/internal/topology"
)

func file(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestReadRealOutput(t *testing.T) {
	const blockA, blockB, fabric = "7cace69dc69ee8a8", "af552884ca83a4cc", "7cace69dc69ee8a8"
	cases := map[string]Result{
		"two-blocks.txt": {Switches: 10, Adapters: 8, Links: 24, Scan: topology.Scan{Leaves: []topology.LeafSwitch{
			{GUID: "7cace69dc69ee8a8", Name: "block-a-leaf-0", Block: blockA, Fabric: fabric, Adapters: []uint64{0x4623a4f038d52b94, 0xf948a1b2a8c1b3be}},
			{GUID: "94b0397b03927481", Name: "block-a-leaf-1", Block: blockA, Fabric: fabric, Adapters: []uint64{0x372eda8c6c3fbad4, 0x8a07fe682ba57b2a}},
			{GUID: "af552884ca83a4cc", Name: "block-b-leaf-1", Block: blockB, Fabric: fabric, Adapters: []uint64{0x5add292e4725edde, 0x7d728c3c0e9e45c4}},
			{GUID: "b438aad27a90c89d", Name: "block-b-leaf-0", Block: blockB, Fabric: fabric, Adapters: []uint64{0x6c62cc2a8ae5cc1b, 0x70d1b3b3cbc912de}},
		}}},
		// The adapter with two ports is on both switches, the second one of a card
		// with the GUID of the card, and nothing inside a switch is on any.
		"grouped.txt": {Switches: 3, Adapters: 4, Links: 10, Scan: topology.Scan{Leaves: []topology.LeafSwitch{
			{GUID: "fc6a1c0300aa0001", Name: "leaf-0", Fabric: "fc6a1c0300aa0001", Adapters: []uint64{0xa0b1c2d3e4f50001, 0xa0b1c2d3e4f50011, 0xa0b1c2d3e4f50021}},
			{GUID: "fc6a1c0300aa0101", Name: "", Fabric: "fc6a1c0300aa0001", Adapters: []uint64{0xa0b1c2d3e4f50001, 0xa0b1c2d3e4f50011, 0xa0b1c2d3e4f50012}},
		}}},
	}
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			text := file(t, name)
			if diff := cmp.Diff(want, mustRead(t, text)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(want, mustRead(t, strings.ReplaceAll(text, "\n", "\r\n"))); diff != "" {
				t.Errorf("with other line ends (-want +got):\n%s", diff)
			}
		})
	}
}

// Wherever the output is cut off, it is either refused, incomplete, or has only
// lost a line end.
func TestEveryCutIsNoticed(t *testing.T) {
	for _, name := range []string{"two-blocks.txt", "grouped.txt"} {
		text := file(t, name)
		for cut := range len(text) - 1 {
			result, err := Read(strings.NewReader(text[:cut]))
			if err == nil && result.Incomplete == "" {
				t.Errorf("%s cut after %d bytes counts as whole; it ends %q", name, cut, text[max(0, cut-40):cut])
			}
			if result.Scan.Leaves != nil {
				t.Fatalf("%s cut after %d bytes gives a scan", name, cut)
			}
		}
	}
}

// A missing line anywhere is noticed, unless it is one that tells nothing about
// cables.
func TestMissingLines(t *testing.T) {
	lines := slices.Collect(strings.Lines(file(t, "two-blocks.txt")))
	whole := mustRead(t, strings.Join(lines, ""))
	for i, line := range lines {
		result, err := Read(strings.NewReader(strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "")))
		if err != nil {
			t.Fatal(err)
		}
		isCable := line[0] == '[' || strings.HasPrefix(line, "Switch") || strings.HasPrefix(line, "Ca\t")
		switch {
		case isCable && result.Incomplete == "":
			t.Errorf("without line %d the output counts as whole: %q", i+1, line)
		case !isCable && !cmp.Equal(whole, result):
			t.Errorf("without line %d the result is another: %q", i+1, line)
		}
	}
}

func TestReadOddOutput(t *testing.T) {
	leaf := draw().plug(2, "a b").mesh("a b", "s1 s2")
	cases := map[string]struct {
		text       string
		incomplete string
		problem    string
		blocks     string
	}{
		"comments and warnings between lines": {text: "# x\nibwarn: [1] something\nvendid=0x1\ndevid=\nHostname: x\n" + leaf.text(), blocks: "one(a b)"},
		"spaces for tabs":                     {text: strings.ReplaceAll(leaf.text(), "\t", " "), blocks: "one(a b)"},
		"description with quotes and number signs": {
			text: strings.ReplaceAll(leaf.text(), `"MF0;a:`, `"MF0;a "x" # [3] "S-:`), blocks: `one(a "x" # [3] "S- b)`,
		},
		"description with control characters": {text: strings.ReplaceAll(leaf.text(), `"MF0;a:`, "\"MF0;\x1b[2Ja\x00\xff:"), blocks: "one([2Ja b)"},
		"no descriptions":                     {text: strings.NewReplacer(`"MF0;a:MQM9700/U1"`, `""`, `"MF0;b:MQM9700/U1"`, ``).Replace(leaf.text()), blocks: "one( )"},
		"line in a section is damaged":        {text: strings.Replace(leaf.text(), "]\t\"H-", "]\t\"H", 1), incomplete: "line 7 is damaged: it tells no link"},
		"port 0":                              {text: strings.Replace(leaf.text(), "[1]\t", "[0]\t", 1), incomplete: "tells no link"},
		"port 256":                            {text: strings.Replace(leaf.text(), "[1]\t", "[256]\t", 1), incomplete: "tells no link"},
		"port listed twice":                   {text: strings.Replace(leaf.text(), "[2]\t", "[1]\t", 1), incomplete: "is listed twice"},
		"ends that differ":                    {text: strings.Replace(leaf.text(), "[1]\t\t#", "[7]\t\t#", 1), incomplete: "does not lead back"},
		"port of another adapter":             {text: strings.Replace(leaf.text(), `"S-0000000000001002"[1]`, `"S-0000000000001002"[2]`, 1), incomplete: "does not lead back"},
		"GUID that is none":                   {text: "Switch\t2 \"S-000000000000zzzz\"\n\n" + leaf.text(), incomplete: "line 1 is damaged: it starts a node and has no GUID"},
		"GUID 0":                              {text: "Switch\t2 \"S-0000000000000000\"\n\n" + leaf.text(), incomplete: "line 1 is damaged"},
		"switch without cables":               {text: leaf.text() + "Switch\t2 \"S-00000000000000ff\"\n\n", incomplete: "node 00000000000000ff has no cable"},
		"ports outside a section":             {text: "[1]\t\"S-0000000000001002\"[1]\n\n" + leaf.text(), incomplete: "line 1 is damaged"},
		"system image GUID that is none":      {text: "sysimgguid=0xg\n\n" + leaf.text(), incomplete: "line 1 is damaged: it has no GUID"},
		"switch that is there twice":          {text: leaf.text() + leaf.section("b"), problem: `two nodes have the GUID 0000000000001005 ("MF0;b:MQM9700/U1" and "MF0;b:MQM9700/U1"); neither counts`, blocks: "one(a)"},
		"adapter that is there three times":   {text: leaf.text() + leaf.section(leaf.names[0]) + leaf.section(leaf.names[0]), problem: "two nodes have the GUID 0000000000001001", blocks: "one(a b)"},
		"output twice":                        {text: leaf.text() + leaf.text(), problem: "and", blocks: ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			result := mustRead(t, c.text)
			if !strings.Contains(result.Incomplete, c.incomplete) || (c.incomplete == "") != (result.Incomplete == "") {
				t.Errorf("incomplete because of %q, want %q", result.Incomplete, c.incomplete)
			}
			if got := strings.Join(result.Problems, "\n"); !strings.Contains(got, c.problem) || (c.problem == "") != (got == "") {
				t.Errorf("problems are %q, want %q", got, c.problem)
			}
			if diff := cmp.Diff(c.blocks, blocks(result.Scan)); diff != "" {
				t.Errorf("blocks (-want +got):\n%s", diff)
			}
		})
	}
}

// A GUID that two adapters have is in no leaf: it could join the wrong machine.
func TestDuplicateAdapterCountsNowhere(t *testing.T) {
	d := draw().plug(2, "a b").mesh("a b", "s1 s2")
	result := mustRead(t, d.text()+d.section(d.names[0]))
	for _, leaf := range result.Scan.Leaves {
		if slices.Contains(leaf.Adapters, d.guid[d.names[0]]) {
			t.Errorf("leaf switch %s still has the adapter", leaf.Name)
		}
	}
}

// The adapter of a reduction engine is no machine's, with whatever system image
// GUID.
func TestAggregationNode(t *testing.T) {
	d := draw().plug(2, "a")
	result := mustRead(t, strings.Replace(d.text(), fmt.Sprintf("# %q\n", d.names[0]), "# \"Mellanox Technologies Aggregation Node\"\n", 1))
	if got := result.Scan.Leaves[0].Adapters; len(got) != 1 || result.Adapters != 1 {
		t.Errorf("adapters are %x, %d in all, want one", got, result.Adapters)
	}
}

func TestSharedSystemImageGUID(t *testing.T) {
	for count, isUsed := range map[int]bool{2: true, maxSharing: true, maxSharing + 1: false} {
		text := strings.ReplaceAll(draw().plug(count, "a").text(), "caguid=", "sysimgguid=0xabcdef\ncaguid=")
		result := mustRead(t, text)
		if got := slices.Contains(result.Scan.Leaves[0].Adapters, 0xabcdef); got != isUsed {
			t.Errorf("shared by %d adapters: used is %t, want %t", count, got, isUsed)
		}
		if hasProblem := len(result.Problems) > 0; hasProblem == isUsed {
			t.Errorf("shared by %d adapters: problems are %q", count, result.Problems)
		}
	}
}

func TestProblemsAreBounded(t *testing.T) {
	d := draw().plug(100, "a").mesh("a", "s")
	text := d.text()
	for _, name := range d.names {
		text += d.section(name)
	}
	problems := mustRead(t, text).Problems
	if got, want := len(problems), maxProblems+1; got != want || problems[maxProblems] != "and 70 more" {
		t.Errorf("got %d problems, want %d; the last is %q", got, want, problems[got-1])
	}
}

// endless repeats text up to a number of bytes.
type endless struct {
	text string
	left int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := copy(p, e.text)
	e.left -= n
	return n, nil
}

var errTorn = errors.New("the pipe is torn")

type torn struct{}

func (torn) Read([]byte) (int, error) { return 0, errTorn }

func TestReadRefuses(t *testing.T) {
	many := func(count int, line string) string {
		var b strings.Builder
		for i := range count {
			fmt.Fprintf(&b, line, i+1)
		}
		return b.String()
	}
	cases := map[string]struct {
		in   io.Reader
		want string
	}{
		"nothing":           {strings.NewReader(""), "holds no switch"},
		"list of nodes":     {strings.NewReader("Ca\t : 0x1 ports 1 devid 0x1 vendid 0x1 \"x\"\n"), "holds no switch"},
		"port report":       {strings.NewReader("SW     1  1 0x1 4x SDR - CA     2  1 0x2 ( 'a' - 'b' )\n"), "holds no switch"},
		"long line":         {strings.NewReader(strings.Repeat("x", MaxLineBytes+1)), "line 1 is longer than 4096 bytes"},
		"endless lines":     {&endless{"#" + strings.Repeat(" ", 4000) + "\n", MaxBytes + 8192}, "longer than 256 MiB"},
		"too many switches": {strings.NewReader(many(MaxSwitches+1, "Switch\t1 \"S-%x\"\n\n")), "more than 4096 switches"},
		"too many adapters": {strings.NewReader(many(MaxAdapters+1, "Ca\t1 \"H-%x\"\n\n")), "more than 4096 switches or 200000 adapters"},
		"too many ports":    {&endless{strings.Repeat("[1]\n", 1024), 4*MaxLinks + 4096}, "more than 1000000 ports"},
		"torn pipe":         {torn{}, errTorn.Error()},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Read(c.in)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add(file(f, "two-blocks.txt"))
	f.Add(file(f, "grouped.txt"))
	f.Add(twoBlocks().plug(1, "c1").cable("a1", "sb1").text())
	f.Add("Switch\t1 \"S-1\"\n[1]\t\"S-1\"[1]\n")
	f.Fuzz(func(t *testing.T, text string) {
		result, err := Read(strings.NewReader(text))
		if err != nil {
			return
		}
		if result.Incomplete != "" && result.Scan.Leaves != nil {
			t.Error("an incomplete output gives a scan")
		}
		for _, text := range append(slices.Clone(result.Problems), result.Incomplete) {
			if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) || len(text) > 1024 {
				t.Errorf("not printable or too long: %q", text)
			}
		}
		for i, leaf := range result.Scan.Leaves {
			if len(leaf.GUID) != 16 || leaf.Fabric == "" || len(leaf.Adapters) == 0 || !slices.IsSorted(leaf.Adapters) || len(leaf.Name) > maxNameBytes {
				t.Errorf("leaf switch %+v is not in form", leaf)
			}
			if i > 0 && result.Scan.Leaves[i-1].GUID >= leaf.GUID {
				t.Error("leaf switches are not in order")
			}
		}
		if diff := cmp.Diff(result.Scan, Keep(result.Scan, result.Scan)); diff != "" {
			t.Errorf("names change without a reason:\n%s", diff)
		}
	})
}

// machines10k is the output of a fabric with 10,240 machines of 8 adapters each:
// 20 blocks of 16 leaf domains with 8 rails, 8 spines for each block, 4 cores.
func machines10k() string {
	d := draw()
	var spines []string
	for block := range 20 {
		var leaves []string
		for leaf := range 16 * 8 {
			leaves = append(leaves, fmt.Sprintf("l-%d-%d", block, leaf))
		}
		d.plug(32, strings.Join(leaves, " "))
		var above []string
		for i := range 8 {
			above = append(above, fmt.Sprintf("s-%d-%d", block, i))
		}
		d.mesh(strings.Join(leaves, " "), strings.Join(above, " "))
		spines = append(spines, above...)
	}
	return d.mesh(strings.Join(spines, " "), "c0 c1 c2 c3").text()
}

func TestRead10kMachines(t *testing.T) {
	result := mustRead(t, machines10k())
	if result.Incomplete != "" || len(result.Problems) > 0 {
		t.Fatalf("incomplete because of %q, problems %q", result.Incomplete, result.Problems)
	}
	if got, want := len(result.Scan.Leaves), 20*16*8; got != want {
		t.Errorf("got %d leaf switches, want %d", got, want)
	}
	if got, want := result.Adapters, 81920; got != want {
		t.Errorf("got %d adapters, want %d", got, want)
	}
	if got, want := distinct(blockKeys(result.Scan)), 20; got != want {
		t.Errorf("got %d blocks, want %d", got, want)
	}
}

func BenchmarkRead10kMachines(b *testing.B) {
	text := machines10k()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Read(strings.NewReader(text)); err != nil {
			b.Fatal(err)
		}
	}
}
