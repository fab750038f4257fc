package sandbox

import (
	"bytes"
	"context"
	"fmt"
	"os"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// LoadImage imports an image archive, such as internal/image writes, into every
// real node that is up. Pods use it when their imagePullPolicy is not Always, which
// is the default for every tag but latest.
func (c *Cluster) LoadImage(ctx context.Context, archive string) error {
	return parallel(ctx, c.RealNodes, func(ctx context.Context, node **Node) error {
		(*node).mu.Lock()
		defer (*node).mu.Unlock()
		if (*node).checkUp() != nil {
			return nil
		}
		return (*node).loadImage(ctx, archive)
	})
}

// loadImage hands the archive over as a stream, for the node may not see its path.
func (n *Node) loadImage(ctx context.Context, archive string) error {
	file, err := os.Open(archive)
	if err != nil {
		return fmt.Errorf("loading an image: %w", err)
	}
	defer file.Close()
	cmd := n.command(ctx, tool("ctr"), "--namespace=k8s.io", "images", "import", "-")
	cmd.Stdin = file
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("loading the image %s into node %s: %w: %s", archive, n.Name, err, bytes.TrimSpace(out))
	}
	return nil
}

// Logs returns what a Pod of a real node has printed. The container may be left
// out where the Pod has one.
func (c *Cluster) Logs(ctx context.Context, pod client.ObjectKey, container string) (string, error) {
	clients, err := kubernetes.NewForConfig(c.RESTConfig)
	if err != nil {
		return "", fmt.Errorf("creating a client of the sandbox: %w", err)
	}
	out, err := clients.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: container}).DoRaw(ctx)
	if err != nil {
		return "", fmt.Errorf("reading the log of Pod %s: %w", pod, err)
	}
	return string(out), nil
}
