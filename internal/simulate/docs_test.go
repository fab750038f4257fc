package simulate

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The example of the documentation prints what the documentation says.
func TestExampleOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/simulate.md")
	if err != nil {
		t.Fatal(err)
	}
	trace := regexp.MustCompile("(?s)```csv\n(.*?)```").FindSubmatch(page)
	want := regexp.MustCompile("(?s)```text\n(POLICY .*?)```").FindSubmatch(page)
	if trace == nil || want == nil {
		t.Fatal("docs/simulate.md has no example")
	}
	report, err := Run(Uniform(8, 4, 2, 8), read(t, string(trace[1])), Options{Policy: policy(t, "easy+preempt")})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	if err := report.WriteTable(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want[1]), got.String()); diff != "" {
		t.Errorf("the example of docs/simulate.md (-documented +printed):\n%s", diff)
	}
}

// Every column of a trace and every field of a report is documented.
func TestNamesAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/simulate.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range columns {
		if !strings.Contains(string(page), "| `"+name+"` |") {
			t.Errorf("docs/simulate.md: column %s is missing", name)
		}
	}
	source, err := os.ReadFile("report.go")
	if err != nil {
		t.Fatal(err)
	}
	fields := regexp.MustCompile(`json:"(\w+)`).FindAllSubmatch(source, -1)
	if len(fields) < 20 {
		t.Fatalf("report.go has %d fields", len(fields))
	}
	for _, field := range fields {
		// A field stands alone, or behind the list that it is in.
		if name := string(field[1]); !regexp.MustCompile("[`.]" + name + "(\\[\\])?[`.]").Match(page) {
			t.Errorf("docs/simulate.md: field %s is missing", name)
		}
	}
}
