package main

import (
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/k8s4ai/k8s4ai/internal/agent"
)

// What leaves the Pod is encrypted, and what stays on the machine need not be.
func TestServe(t *testing.T) {
	cases := map[string]struct {
		listen string
		isTLS  bool
	}{
		"this machine alone": {"127.0.0.1:0", false},
		"everyone":           {"0.0.0.0:0", true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", tc.listen)
			if err != nil {
				t.Fatal(err)
			}
			served, err := encrypt(listener, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{Handler: (&agent.Metrics{}).Handler(time.Second, time.Now), ReadHeaderTimeout: time.Second, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)}
			go func() { _ = server.Serve(served) }()
			t.Cleanup(func() { _ = server.Close() })
			_, port, err := net.SplitHostPort(listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			for scheme, want := range map[string]bool{"https": tc.isTLS, "http": !tc.isTLS} {
				if got := answers(t, scheme+"://127.0.0.1:"+port+"/metrics"); got != want {
					t.Errorf("%s answers: %t, want %t", scheme, got, want)
				}
			}
		})
	}
}

// answers says whether a GET succeeds, whoever signed the certificate.
func answers(t *testing.T, url string) bool {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // Nobody has signed it.
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	return err == nil && response.StatusCode == http.StatusOK && len(content) > 0
}
