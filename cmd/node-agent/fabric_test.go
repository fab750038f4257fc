package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const realOutput = "../../internal/agent/ibfabric/testdata/two-blocks.txt"

func runFabric(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	command := newFabricCommand()
	command.SetOut(&out)
	command.SetErr(&bytes.Buffer{})
	command.SetArgs(args)
	err := command.ExecuteContext(t.Context())
	return out.String(), err
}

func TestFabricPrints(t *testing.T) {
	table, err := runFabric(t, "--dry-run", "--file", realOutput)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if want := "7cace69dc69ee8a8   af552884ca83a4cc   b438aad27a90c89d   block-b-leaf-0   2"; len(lines) != 5 || lines[3] != want {
		t.Errorf("got\n%s\nwant 5 lines, the fourth %q", table, want)
	}
	text, err := runFabric(t, "--dry-run", "--file", realOutput, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var scan struct{ Leaves []printedLeaf }
	if err := json.Unmarshal([]byte(text), &scan); err != nil {
		t.Fatal(err)
	}
	if len(scan.Leaves) != 4 || scan.Leaves[0].Adapters[0] != "4623a4f038d52b94" {
		t.Errorf("got %s", text)
	}
}

func TestFabricRefuses(t *testing.T) {
	whole, err := os.ReadFile(realOutput)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.txt")
	if err := os.WriteFile(cut, whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		args []string
		want string
	}{
		"cut file":              {[]string{"--dry-run", "--file", cut}, "is incomplete and does not count"},
		"no file":               {[]string{"--dry-run", "--file", cut + "x"}, "no such file"},
		"no program":            {[]string{"--dry-run", "--ibnetdiscover", "no-such-program"}, "install infiniband-diags or use the k8s4ai node-agent image"},
		"unknown form":          {[]string{"--dry-run", "-o", "xml"}, "choose table or json"},
		"argument":              {[]string{"-o", "json", "mlx5_0"}, `unexpected argument "mlx5_0"`},
		"argument before --":    {[]string{"mlx5_0", "--", "-v"}, `unexpected argument "mlx5_0"`},
		"file and device":       {[]string{"--file", cut, "--device", "mlx5_0"}, "have no meaning"},
		"no time":               {[]string{"--timeout", "0s"}, "must be positive"},
		"kubeconfig not there":  {[]string{"--file", realOutput, "--kubeconfig", cut + "x"}, "finding the cluster"},
		"several devices, none": {[]string{"--dry-run", "--ibnetdiscover", "false", "--device", "a,b"}, "false failed: exit status 1"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			out, err := runFabric(t, c.args...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if out != "" {
				t.Errorf("it prints %q", out)
			}
		})
	}
}

// Devices and arguments behind -- reach ibnetdiscover, once for each device.
func TestFabricPassesArguments(t *testing.T) {
	folder := t.TempDir()
	program := filepath.Join(folder, "ibnetdiscover")
	text, err := filepath.Abs(realOutput)
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho \"$@\" >> " + folder + "/calls\ncat " + text + "\n"
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil { //nolint:gosec // It has to run.
		t.Fatal(err)
	}
	if _, err := runFabric(t, "--dry-run", "--ibnetdiscover", program, "--device", "mlx5_0,mlx5_4", "--", "--timeout", "500"); err != nil {
		t.Fatal(err)
	}
	calls, err := os.ReadFile(filepath.Join(folder, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	if want := "-C mlx5_0 --timeout 500\n-C mlx5_4 --timeout 500\n"; string(calls) != want {
		t.Errorf("ibnetdiscover was called with\n%s\nwant\n%s", calls, want)
	}
}
