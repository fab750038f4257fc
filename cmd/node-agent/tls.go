package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"net"
	"time"
)

// certificateLife is longer than any Pod lives.
const certificateLife = 10 * 365 * 24 * time.Hour

// encrypt serves TLS on a listener that others than this machine reach, with a
// certificate that nobody has signed: a kubelet does not check it, and a scraper
// is told not to. It hides what is served from those who listen in.
func encrypt(listener net.Listener, now time.Time) (net.Listener, error) {
	address, ok := listener.Addr().(*net.TCPAddr)
	if !ok || address.IP.IsLoopback() {
		return listener, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making the key of /healthz and /metrics: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "k8s4ai-node-agent"}, IPAddresses: []net.IP{address.IP},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(certificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	content, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("making the certificate of /healthz and /metrics: %w", err)
	}
	return tls.NewListener(listener, &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{content}, PrivateKey: key}},
	}), nil
}
