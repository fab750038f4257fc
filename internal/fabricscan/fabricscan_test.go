package fabricscan

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

var scanTime = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func info(generation int64) Info {
	return Info{Generation: generation, Time: scanTime, Host: "n1"}
}

// randomScan has leaf switches with 32 adapters each. GUIDs do not compress.
func randomScan(leaves int, withSystems bool) topology.Scan {
	random := rand.New(rand.NewPCG(1, uint64(leaves)))
	scan := topology.Scan{Leaves: make([]topology.LeafSwitch, leaves)}
	for i := range scan.Leaves {
		leaf := &scan.Leaves[i]
		leaf.GUID, leaf.Name = fmt.Sprintf("%016x", random.Uint64()), fmt.Sprintf("leaf-%d", i)
		leaf.Block, leaf.Fabric = scan.Leaves[i/128*128].GUID, scan.Leaves[0].GUID
		for range 32 {
			leaf.Adapters = append(leaf.Adapters, random.Uint64())
			if withSystems {
				leaf.Adapters = append(leaf.Adapters, random.Uint64())
			}
		}
	}
	return scan
}

func mustParts(t testing.TB, scan topology.Scan, set string, info Info) []corev1.ConfigMap {
	t.Helper()
	parts, err := Parts(scan, set, info)
	if err != nil {
		t.Fatal(err)
	}
	return parts
}

// 10,240 machines with 8 adapters each fit, even where every adapter has a
// system image GUID of its own.
func TestScanOf10kMachinesFits(t *testing.T) {
	for name, c := range map[string]struct {
		systems bool
		parts   int
	}{"node GUIDs": {false, 2}, "with system image GUIDs": {true, 3}} {
		t.Run(name, func(t *testing.T) {
			scan := randomScan(10240*8/32, c.systems)
			parts := mustParts(t, scan, "a", info(7))
			total := 0
			for i := range parts {
				size := len(parts[i].BinaryData[partKey])
				if total += size; size > MaxPartBytes {
					t.Errorf("part %d has %d bytes", i, size)
				}
			}
			t.Logf("%d adapters in %d bytes, %d parts", 10240*8, total, len(parts))
			if len(parts) != c.parts {
				t.Errorf("got %d parts, want %d", len(parts), c.parts)
			}
			slices.Reverse(parts)
			got, gotInfo, err := Read(parts)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(scan, got); diff != "" {
				t.Errorf("the scan is another (-want +got):\n%s", diff)
			}
			want := info(7)
			want.Digest, _ = Digest(scan)
			if diff := cmp.Diff(want, gotInfo); diff != "" {
				t.Errorf("info (-want +got):\n%s", diff)
			}
		})
	}
}

func TestScanPartsAreDeterministic(t *testing.T) {
	first, second := mustParts(t, randomScan(64, true), "a", info(1)), mustParts(t, randomScan(64, true), "a", info(1))
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("equal scans differ:\n%s", diff)
	}
	other := randomScan(64, true)
	other.Leaves[3].Adapters[5]++
	if digest, _ := Digest(other); digest == first[0].Annotations[annotationScanDigest] {
		t.Error("another scan has the same digest")
	}
}

func TestScanThatIsTooLarge(t *testing.T) {
	_, err := Parts(randomScan(20000, false), "a", info(1))
	if err == nil || !strings.Contains(err.Error(), "8 ConfigMaps") {
		t.Errorf("got %v, want an error about ConfigMaps", err)
	}
}

func TestReadScanChooses(t *testing.T) {
	before, now := randomScan(1000, true), randomScan(1100, true)
	a, b := mustParts(t, before, "a", info(4)), mustParts(t, now, "b", info(5))
	if len(a) < 2 || len(b) < 2 {
		t.Fatalf("the scans have %d and %d parts, the test needs more than one", len(a), len(b))
	}
	other := mustParts(t, randomScan(2000, false), "b", info(5))
	broken := func(change func(*corev1.ConfigMap)) []corev1.ConfigMap {
		parts := mustParts(t, now, "b", info(5))
		change(&parts[1])
		return parts
	}
	cases := map[string]struct {
		parts []corev1.ConfigMap
		want  int64
		// passedOver or, with want 0, the error.
		why string
	}{
		"nothing":                  {nil, 0, ""},
		"one":                      {a, 4, ""},
		"newest":                   {slices.Concat(a, b), 5, ""},
		"newest, listed first":     {slices.Concat(b, a), 5, ""},
		"newest is half written":   {slices.Concat(a, b[:1]), 4, "generation 5: 1 of 2 parts are there"},
		"only a half":              {b[1:], 0, "no scan of the fabric is whole: generation 5: 1 of 2 parts are there"},
		"parts of two writers":     {slices.Concat(a, b[:1], other[1:]), 4, "parts are there"},
		"leftover of a longer one": {slices.Concat(b, a[1:]), 5, ""},
		"content is another":       {slices.Concat(a, broken(func(p *corev1.ConfigMap) { p.BinaryData[partKey][100] ^= 1 })), 4, "generation 5: "},
		"content is gone":          {slices.Concat(a, broken(func(p *corev1.ConfigMap) { p.BinaryData = nil })), 4, "generation 5: decompressing: unexpected EOF"},
		"part is too large":        {slices.Concat(a, broken(func(p *corev1.ConfigMap) { p.BinaryData[partKey] = make([]byte, MaxPartBytes+1) })), 4, "part 1 has 524289 bytes"},
		"digest is of another": {slices.Concat(a, func() []corev1.ConfigMap {
			parts := mustParts(t, now, "b", info(5))
			for i := range parts {
				parts[i].Annotations[annotationScanDigest] = a[0].Annotations[annotationScanDigest]
			}
			return parts
		}()), 4, "the content does not match its digest"},
		"part without a number":         {slices.Concat(a, broken(func(p *corev1.ConfigMap) { p.Labels = nil })), 4, "1 of 2 parts"},
		"part that is no part of it":    {slices.Concat(a, broken(func(p *corev1.ConfigMap) { p.Labels[v1alpha1.LabelFabricScan] = "9" })), 4, "1 of 2 parts"},
		"part without annotations":      {slices.Concat(a, broken(func(p *corev1.ConfigMap) { p.Annotations = nil })), 4, "1 of 2 parts"},
		"time that is none":             {broken(func(p *corev1.ConfigMap) { p.Annotations[annotationScanTime] = "x" }), 5, ""},
		"ConfigMap that is no scan":     {[]corev1.ConfigMap{{}}, 0, "has the annotations of a scan"},
		"generation that is a negative": {broken(func(p *corev1.ConfigMap) { p.Annotations[annotationScanGeneration] = "-1" })[1:], 0, "has the annotations of a scan"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, got, err := Read(c.parts)
			if got.Generation != c.want {
				t.Errorf("got generation %d, want %d (%v)", got.Generation, c.want, err)
			}
			text := got.PassedOver
			if err != nil {
				text = err.Error()
			}
			if !strings.Contains(text, c.why) || (c.why == "") != (text == "") {
				t.Errorf("got %q, want %q", text, c.why)
			}
		})
	}
}

// pack makes the parts of any content, as somebody could who may write them.
func pack(t testing.TB, content []byte) []corev1.ConfigMap {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	parts := mustParts(t, topology.Scan{}, "a", info(1))
	parts[0].BinaryData[partKey] = packed.Bytes()
	parts[0].Annotations[annotationScanDigest] = digestOf(content)
	return parts
}

func TestReadScanRefuses(t *testing.T) {
	leaf := func(text string) string { return `{"leaves":[` + text + `]}` }
	cases := map[string]struct{ content, want string }{
		"bomb":                      {strings.Repeat(" ", 64<<20), "decompresses to more than 16777216 bytes"},
		"no JSON":                   {"x", "decoding: invalid character"},
		"more behind it":            {`{"leaves":[]}{}`, "decoding: invalid character"},
		"too many leaf switches":    {leaf(strings.Repeat(`{},`, 4096) + `{}`), "it has 4097 leaf switches"},
		"no GUID":                   {leaf(`{}`), `leaf switch 0: "" is no GUID`},
		"GUID in upper case":        {leaf(`{"guid":"00000000000000AA"}`), "is no GUID"},
		"GUID that is too long":     {leaf(`{"guid":"` + strings.Repeat("a", 1<<20) + `"}`), `"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" is no GUID`},
		"no fabric":                 {leaf(`{"guid":"00000000000000aa"}`), "is in no fabric"},
		"name that is too long":     {leaf(`{"guid":"00000000000000aa","fabric":"f","name":"` + strings.Repeat("a", 65) + `"}`), "longer than 64 bytes"},
		"name that is not readable": {leaf(`{"guid":"00000000000000aa","fabric":"f","name":"\u001b[2J"}`), "not printable"},
		"adapter that is none":      {leaf(`{"guid":"00000000000000aa","fabric":"f","adapters":"00000000000000bb0x1"}`), `leaf switch 00000000000000aa: "0x1" is no GUID`},
		"adapters that are none":    {leaf(`{"guid":"00000000000000aa","fabric":"f","adapters":7}`), "decoding: json"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := Read(pack(t, []byte(c.content)))
			if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 1000 {
				t.Errorf("got %.1000v, want an error with %q", err, c.want)
			}
		})
	}
}

func FuzzReadScan(f *testing.F) {
	f.Add("1", "0", "1", "{}", []byte(`{"leaves":[{"guid":"00000000000000aa","fabric":"f","adapters":"00000000000000bb"}]}`), true)
	f.Add("1", "1", "2", "{}", []byte{0x1f, 0x8b}, false)
	f.Fuzz(func(t *testing.T, generation, number, count, digest string, content []byte, isPacked bool) {
		parts := pack(t, content)
		if !isPacked {
			parts[0].BinaryData[partKey] = content
			parts[0].Annotations[annotationScanDigest] = digest
		}
		parts = append(parts, *parts[0].DeepCopy())
		parts[1].Labels[v1alpha1.LabelFabricScan] = number
		parts[1].Annotations[annotationScanGeneration] = generation
		parts[1].Annotations[annotationScanParts] = count
		scan, got, err := Read(parts)
		if err != nil {
			if len(err.Error()) > 4096 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			return
		}
		// What was read can be written and read again.
		again, _, err := Read(mustParts(t, scan, "b", got))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(scan, again); diff != "" {
			t.Errorf("(-first +second):\n%s", diff)
		}
	})
}
