package main

import (
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	cases := map[string]struct {
		args    []string
		out     string
		wantErr string
	}{
		"no argument prints how to use it":   {out: "sandbox up --fleet hgx-64"},
		"help of a command":                  {args: []string{"up", "--help"}, out: "Usage:"},
		"fleets":                             {args: []string{"fleets"}, out: "doks-rails-32\n"},
		"unknown command":                    {args: []string{"start"}, wantErr: `unknown command "start"`},
		"unknown flag":                       {args: []string{"up", "--flet", "x"}, wantErr: "-flet"},
		"stray argument":                     {args: []string{"up", "hgx-64"}, wantErr: `unexpected argument "hgx-64"`},
		"unknown fleet":                      {args: []string{"up", "--fleet", "hgx-63"}, wantErr: "hgx-64"},
		"real nodes without a control plane": {args: []string{"up", "--control-plane-only", "--real-nodes", "1"}, wantErr: "--control-plane-only"},
		"a negative count":                   {args: []string{"up", "--real-nodes", "-1"}, wantErr: "how many"},
		"too many real nodes":                {args: []string{"up", "--real-nodes", "9"}, wantErr: "at most 8"},
		"images without nodes":               {args: []string{"up", "--images", "x.tar"}, wantErr: "--real-nodes 1"},
		"a fleet without nodes":              {args: []string{"up", "--control-plane-only", "--fleet", "hgx-64"}, wantErr: "--control-plane-only"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			err := run(t.Context(), tc.args, &out)
			if tc.wantErr == "" && err != nil {
				t.Fatal(err)
			}
			if tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)) {
				t.Errorf("run() = %v, want an error that says %q", err, tc.wantErr)
			}
			if !strings.Contains(out.String(), tc.out) {
				t.Errorf("output is %q, want it to contain %q", out.String(), tc.out)
			}
		})
	}
}
