package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	out := filepath.Join(t.TempDir(), "image.tar")
	cases := map[string]struct {
		args    []string
		out     string
		wantErr string
	}{
		"help":           {args: []string{"--help"}, out: "go run ./hack/image"},
		"no argument":    {wantErr: "--name, --binary and --out are needed"},
		"unknown flag":   {args: []string{"--nam", "x"}, wantErr: "-nam"},
		"stray argument": {args: []string{"x"}, wantErr: `unexpected argument "x"`},
		"half a file":    {args: []string{"--file", "/etc/hosts"}, wantErr: "write FROM:TO"},
		"no binary":      {args: []string{"--name", "a:v1", "--binary", "absent", "--out", out}, wantErr: "absent"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var printed strings.Builder
			err := run(t.Context(), tc.args, &printed)
			if tc.wantErr == "" && err != nil {
				t.Fatal(err)
			}
			if tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)) {
				t.Errorf("run() = %v, want an error that says %q", err, tc.wantErr)
			}
			if !strings.Contains(printed.String(), tc.out) {
				t.Errorf("output is %q, want it to contain %q", printed.String(), tc.out)
			}
		})
	}
}
