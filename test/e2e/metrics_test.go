package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// The metrics are served over TLS, and only to a client that may read them.
func TestMetricsNeedAToken(t *testing.T) {
	namespace := story(t)
	address := freeAddress(t)
	env.KillManager()
	if err := env.StartManager("--metrics-bind-address", address); err != nil {
		t.Fatal(err)
	}
	reader, stranger := tokenFor(t, namespace, "reader"), tokenFor(t, namespace, "stranger")
	create(t, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "k8s4ai-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: "reader"}},
	})
	eventually(t.Context(), t, "the metrics are served to the reader", func(ctx context.Context) error {
		status, body, err := scrape(ctx, "https://"+address, reader)
		if err == nil && (status != http.StatusOK || !strings.Contains(body, "k8s4ai_gang_commits_total")) {
			err = fmt.Errorf("status %d, %d bytes", status, len(body))
		}
		return err
	})
	for name, want := range map[string]struct {
		token  string
		status int
	}{
		"without a token":               {"", http.StatusUnauthorized},
		"with a token of somebody else": {stranger, http.StatusForbidden},
	} {
		if status, _, err := scrape(t.Context(), "https://"+address, want.token); err != nil || status != want.status {
			t.Errorf("%s the metrics answer %d (%v), want %d", name, status, err, want.status)
		}
	}
	if status, body, err := scrape(t.Context(), "http://"+address, reader); err == nil && (status == http.StatusOK || strings.Contains(body, "k8s4ai_")) {
		t.Errorf("without TLS the metrics answer %d", status)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// tokenFor makes a ServiceAccount and returns a token of it.
func tokenFor(t *testing.T, namespace, name string) string {
	t.Helper()
	create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
	clients, err := kubernetes.NewForConfig(env.RESTConfig)
	if err != nil {
		t.Fatal(err)
	}
	token, err := clients.CoreV1().ServiceAccounts(namespace).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return token.Status.Token
}

func scrape(ctx context.Context, base, token string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/metrics", nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	// The certificate is the manager's own; who it is is not what is tested.
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
	return response.StatusCode, string(data), err
}

// A kubelet hears from the manager's probes that it lives and is ready.
func TestManagerAnswersProbes(t *testing.T) {
	address := freeAddress(t)
	env.KillManager()
	if err := env.StartManager("--health-probe-bind-address", address); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/healthz", "/readyz"} {
		eventually(t.Context(), t, path+" answers", func(ctx context.Context) error {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, http.NoBody)
			if err != nil {
				return err
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusOK {
				return fmt.Errorf("status %d", response.StatusCode)
			}
			return nil
		})
	}
}
