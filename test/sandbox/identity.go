package sandbox

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// certificateLife is longer than any sandbox lives.
const certificateLife = 30 * 24 * time.Hour

// identity is the certificate authority of one cluster. Every client is a
// certificate of it: the common name is the user, the organisations are groups.
type identity struct {
	dir    string
	key    *ecdsa.PrivateKey
	cert   *x509.Certificate
	pem    []byte // of cert
	serial int64
}

// newIdentity writes ca.crt, ca.key, the certificate apiserver.{crt,key} of the
// server at that address and the ServiceAccount signing pair sa.{key,pub} into dir.
func newIdentity(dir, address string) (*identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generating the key of the certificate authority: %w", err)
	}
	id := &identity{dir: dir, key: key}
	id.cert = &x509.Certificate{
		Subject: pkix.Name{CommonName: "sandbox"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	certPEM, keyPEM, err := id.sign(id.cert, key)
	if err != nil {
		return nil, err
	}
	id.pem = certPEM
	if err := id.writePair("ca", certPEM, keyPEM); err != nil {
		return nil, err
	}
	certPEM, keyPEM, err = id.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "kube-apiserver"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.ParseIP(address), net.ParseIP(firstServiceIP)},
	})
	if err != nil {
		return nil, err
	}
	if err := id.writePair("apiserver", certPEM, keyPEM); err != nil {
		return nil, err
	}
	return id, id.writeServiceAccountKeys()
}

// issue makes a key and a certificate of this authority for it.
func (id *identity) issue(template *x509.Certificate) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generating the key of %s: %w", template.Subject.CommonName, err)
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	return id.sign(template, key)
}

func (id *identity) sign(template *x509.Certificate, key *ecdsa.PrivateKey) (certPEM, keyPEM []byte, err error) {
	id.serial++
	template.SerialNumber = big.NewInt(id.serial)
	// An hour of slack for clocks that step back while a virtual machine wakes up.
	template.NotBefore = time.Now().Add(-time.Hour)
	template.NotAfter = time.Now().Add(certificateLife)
	der, err := x509.CreateCertificate(rand.Reader, template, id.cert, key.Public(), id.key)
	if err != nil {
		return nil, nil, fmt.Errorf("signing the certificate of %s: %w", template.Subject.CommonName, err)
	}
	keyPEM, err = encodeKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), keyPEM, err
}

func encodeKey(key crypto.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encoding a key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func (id *identity) writePair(name string, certPEM, keyPEM []byte) error {
	if err := writeFile(filepath.Join(id.dir, name+".crt"), certPEM); err != nil {
		return err
	}
	return writeFile(filepath.Join(id.dir, name+".key"), keyPEM)
}

// writeClient writes <name>.{crt,key} of a user of the server.
func (id *identity) writeClient(name, user string, groups ...string) error {
	config, err := id.client("", user, groups...)
	if err != nil {
		return err
	}
	return id.writePair(name, config.CertData, config.KeyData)
}

// writeServer writes <name>.{crt,key} of a server at that address.
func (id *identity) writeServer(name, address string) error {
	certPEM, keyPEM, err := id.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: filepath.Base(name)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.ParseIP(address)},
	})
	if err != nil {
		return err
	}
	return id.writePair(name, certPEM, keyPEM)
}

// writeServiceAccountKeys writes an RSA pair, since tokens signed with RSA are
// what managed clusters hand out.
func (id *identity) writeServiceAccountKeys() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("generating the ServiceAccount key: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encoding the ServiceAccount key: %w", err)
	}
	if err := writeFile(filepath.Join(id.dir, "sa.pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})); err != nil {
		return err
	}
	return writeFile(filepath.Join(id.dir, "sa.key"), keyPEM)
}

// client returns a configuration for a user of the server.
func (id *identity) client(server, user string, groups ...string) (*rest.Config, error) {
	certPEM, keyPEM, err := id.issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	return &rest.Config{
		Host:            server,
		TLSClientConfig: rest.TLSClientConfig{CAData: id.pem, CertData: certPEM, KeyData: keyPEM},
		QPS:             -1,
	}, nil
}

// writeKubeconfig writes the configuration to dir/<name>.kubeconfig, with keys
// and certificates inside so that the file can be copied.
func writeKubeconfig(dir, name string, config *rest.Config) (string, error) {
	kubeconfig := clientcmdapi.NewConfig()
	kubeconfig.Clusters["sandbox"] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	kubeconfig.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: config.CertData, ClientKeyData: config.KeyData}
	kubeconfig.Contexts["sandbox"] = &clientcmdapi.Context{Cluster: "sandbox", AuthInfo: name}
	kubeconfig.CurrentContext = "sandbox"
	data, err := clientcmd.Write(*kubeconfig)
	if err != nil {
		return "", fmt.Errorf("encoding the kubeconfig of %s: %w", name, err)
	}
	path := filepath.Join(dir, name+".kubeconfig")
	return path, writeFile(path, data)
}
