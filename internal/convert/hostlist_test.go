package convert

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEncodeHosts(t *testing.T) {
	cases := map[string]struct {
		names []string
		want  string
	}{
		"nothing is an empty text":                {nil, ""},
		"one name stays as it is":                 {[]string{"gpu"}, "gpu"},
		"names that count up become a run":        {[]string{"n-08", "n-09", "n-10"}, "n-[08-10]"},
		"a change of width ends a run":            {[]string{"n9", "n10"}, "n9,n10"},
		"counting down is no run":                 {[]string{"n2", "n1"}, "n2,n1"},
		"pods on one node become a repeat":        {[]string{"a0", "a0", "a0"}, "a0*3"},
		"equal repeats join a run":                {[]string{"a0", "a0", "a1", "a1"}, "a[0-1]*2"},
		"another repeat ends a run":               {[]string{"a0", "a0", "a1"}, "a0*2,a1"},
		"a return to an earlier name keeps order": {[]string{"a0", "a1", "a0"}, "a[0-1],a0"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := EncodeHosts(tc.names)
			if got != tc.want {
				t.Errorf("EncodeHosts(%v) = %q, want %q", tc.names, got, tc.want)
			}
			if len(tc.names) == 0 {
				return
			}
			back, err := DecodeHosts(got)
			if err != nil {
				t.Fatalf("DecodeHosts(%q): %v", got, err)
			}
			if diff := cmp.Diff(tc.names, back); diff != "" {
				t.Errorf("names (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeHostsRefuses(t *testing.T) {
	for _, list := range []string{
		"", "a,,b", "a[", "a[1", "a[1]", "a[2-1]", "a[x-y]", "a[1-02]", "a*0", "a*x", "a*-1", "[*]",
		"a[0-4096]", "a*4097", "a[0000-2047]*3", "a[1-99999999999999999999]", strings.Repeat("a,", 4097) + "a",
	} {
		if names, err := DecodeHosts(list); err == nil {
			t.Errorf("DecodeHosts(%.40q) = %d names, want an error", list, len(names))
		}
	}
}

// The largest gang with names that share nothing stays far below the size
// limit of an object.
func TestEncodeHostsOfTheLargestGangIsSmall(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	names := make([]string, maxHosts)
	for i := range names {
		names[i] = fmt.Sprintf("gke-pool-%08x-%04x", random.Uint32(), random.Uint32N(1<<16))
	}
	if got := len(EncodeHosts(names)); got > 150<<10 {
		t.Errorf("host list of %d names takes %d bytes, want at most 150 KiB", maxHosts, got)
	}
}

func FuzzDecodeHosts(f *testing.F) {
	for _, seed := range []string{"a", "a[0-3]*2,b", "a[", "*", "a[00-10]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, list string) {
		names, err := DecodeHosts(list)
		if err != nil {
			return
		}
		if len(names) > maxHosts {
			t.Fatalf("%d names", len(names))
		}
		back, err := DecodeHosts(EncodeHosts(names))
		if err != nil {
			t.Fatalf("reading back %q: %v", EncodeHosts(names), err)
		}
		if diff := cmp.Diff(names, back); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
	})
}
