// Command probe is what Pods of the tests run.
//
//	probe api        asks the API server for /readyz, as any Pod would, and for the
//	                 token's own claims
//	probe serve      answers HTTP on port 8080 with the name of the Pod
//	probe get URL    prints the answer, once there is one
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const account = "/var/run/secrets/kubernetes.io/serviceaccount"

func main() {
	var err error
	switch os.Args[1] {
	case "api":
		err = api()
	case "serve":
		http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, os.Getenv("HOSTNAME")) })
		err = http.ListenAndServe(":8080", nil)
	case "get":
		err = get(os.Args[2])
	default:
		err = errors.New("unknown command " + os.Args[1])
	}
	if err != nil {
		fmt.Println("probe:", err)
		os.Exit(1)
	}
}

func api() error {
	token, err := os.ReadFile(filepath.Join(account, "token"))
	if err != nil {
		return err
	}
	authority, err := os.ReadFile(filepath.Join(account, "ca.crt"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority)
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	server := net.JoinHostPort(os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT"))
	request, err := http.NewRequest(http.MethodGet, "https://"+server+"/readyz", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+string(token))
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(string(token), ".")[1])
	if err != nil {
		return err
	}
	fmt.Printf("%s %s %s\n%s\n", server, response.Status, body, claims)
	return nil
}

func get(url string) error {
	client := &http.Client{Timeout: 2 * time.Second}
	var last error
	for range 30 {
		response, err := client.Get(url)
		if err == nil {
			defer response.Body.Close()
			_, err = io.Copy(os.Stdout, response.Body)
			return err
		}
		last = err
		time.Sleep(500 * time.Millisecond)
	}
	return last
}
