package sandbox

import (
	"bytes"
	"fmt"
	"text/template"
)

// clusterDNS is where a kubelet sends the lookups of Pods. Nobody answers there
// until somebody deploys a DNS server with this address.
const clusterDNS = "10.96.0.10"

// nodeConfigs are the configurations of a node's daemons, by file name.
var nodeConfigs = map[string]*template.Template{
	"containerd.toml": template.Must(template.New("").Parse(`version = 2

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{{.Pause}}"
  # Lowering it takes a privilege that root lacks on some virtual machines.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{{.Plugins}}"
    conf_dir = "{{.Dir}}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
`)),
	"cni/sandbox.conflist": template.Must(template.New("").Parse(`{
  "cniVersion": "0.4.0", "name": "sandbox",
  "plugins": [{
    "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "{{.Pods}}"}]], "routes": [{"dst": "0.0.0.0/0"}]}
  }]
}
`)),
	"kubelet.yaml": template.Must(template.New("").Parse(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: "{{.CA}}"}
authorization: {mode: Webhook}
tlsCertFile: "{{.Dir}}/kubelet.crt"
tlsPrivateKeyFile: "{{.Dir}}/kubelet.key"
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /{{.Cgroup}}
failCgroupV1: false
failSwapOn: false
# All nodes share this machine: none may hold the others' Pods to its own share, or
# evict its Pods because the machine's disk is full.
enforceNodeAllocatable: []
evictionHard: {}
imageGCHighThresholdPercent: 100
makeIPTablesUtilChains: false
clusterDomain: cluster.local
clusterDNS: ["{{.DNS}}"]
nodeLeaseDurationSeconds: {{.Lease}}
`)),
	"kube-proxy.yaml": template.Must(template.New("").Parse(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: "{{.Proxy}}"}
mode: nftables
# The settings of the kernel are the machine's, not a node's.
conntrack: {maxPerCore: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
`)),
}

// writeConfigs writes the configurations into the node's directory.
func (n *Node) writeConfigs(proxyKubeconfig string) error {
	values := map[string]any{
		"Dir": n.Dir, "Pause": PauseImage, "Plugins": cniPlugins, "Pods": n.cluster.network.pods(n.index).String(),
		"CA": n.cluster.file("ca.crt"), "Cgroup": n.cgroup(), "DNS": clusterDNS, "Proxy": proxyKubeconfig,
		"Lease": int(n.cluster.options.heartbeat().lease.Seconds()),
	}
	for name, config := range nodeConfigs {
		var text bytes.Buffer
		if err := config.Execute(&text, values); err != nil {
			return fmt.Errorf("writing %s of node %s: %w", name, n.Name, err)
		}
		if err := writeFile(n.file(name), text.Bytes()); err != nil {
			return err
		}
	}
	return nil
}
