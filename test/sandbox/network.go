package sandbox

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

const (
	// claimPrefix names the cgroups and, with an @ before it, the socket of a
	// network. Both end in the network's index.
	claimPrefix = "k8s4ai-sandbox-"
	// maxNetworks is how many clusters with real nodes one machine can have at a
	// time, and maxRealNodes how many nodes each: so many fit into allNetworks.
	maxNetworks  = 32
	maxRealNodes = 8
	nodeBits     = 24
	switchLink   = "uplink"
	switchBridge = "nodes"
)

// allNetworks is set aside for tests of network equipment (RFC 2544), so that no
// real network has it.
var allNetworks = netip.MustParsePrefix("198.18.0.0/15")

// network joins the real nodes of one cluster to each other and to this machine:
//
//	this machine           switch                        node 0
//	k8s4ai-3 198.18.48.1 ── uplink ─┬─ bridge ── port0 ── eth0 198.18.48.10, Pods 198.18.49.0/24
//	                                └─────────── port1 ── eth0 198.18.48.11, Pods 198.18.50.0/24
//
// Switch and nodes are network namespaces that live as long as a process does, and
// with them everything above goes, also when the owner is killed. What packet
// filters this machine has, traffic between nodes does not meet them.
//
// The index decides all names and addresses. Its owner listens on a socket that
// the kernel closes, however the owner ends.
type network struct {
	index  int
	claim  net.Listener
	holder *process // of the switch
}

// claimNetwork takes the first index that is nobody's, and removes what a killed
// owner of it left.
func claimNetwork(ctx context.Context) (*network, error) {
	var inUse []string
	for index := range maxNetworks {
		n, ok := tryClaim(ctx, index)
		if !ok {
			continue
		}
		taken, err := n.takenBy(ctx)
		if err == nil && taken == "" {
			err = n.removeLeftovers(ctx)
		}
		if err != nil {
			return nil, errors.Join(err, n.claim.Close())
		}
		if taken == "" {
			return n, nil
		}
		inUse = append(inUse, taken)
		n.claim.Close()
	}
	return nil, fmt.Errorf("no network for real nodes is left: %d sandboxes run, or routes of this machine lead into %s: %s",
		maxNetworks-len(inUse), allNetworks, strings.Join(inUse, "; "))
}

// tryClaim takes an index unless it is somebody's.
func tryClaim(ctx context.Context, index int) (*network, bool) {
	var config net.ListenConfig
	claim, err := config.Listen(ctx, "unix", "@"+claimPrefix+strconv.Itoa(index))
	if err != nil {
		return nil, false
	}
	return &network{index: index, claim: claim}, true
}

// takenBy names a route of this machine that leads into the network or covers it,
// other than the default route and what an earlier owner left.
func (n *network) takenBy(ctx context.Context) (string, error) {
	for _, selector := range []string{"root", "match"} {
		out, err := exec.CommandContext(ctx, tool("ip"), "-4", "route", "show", selector, n.prefix().String()).Output()
		if err != nil {
			return "", fmt.Errorf("reading the routes of this machine: %w", err)
		}
		for line := range strings.Lines(string(out)) {
			line = strings.TrimSpace(line)
			if !strings.HasPrefix(line, "default ") && !strings.Contains(line+" ", " dev "+n.link()+" ") {
				return line, nil
			}
		}
	}
	return "", nil
}

// removeLeftovers removes what is not tied to a process: cgroups, and the link for
// the moment that the kernel needs to do it.
func (n *network) removeLeftovers(ctx context.Context) error {
	var err error
	if n.hasLink() {
		err = ipBatch(ctx, nil, "link delete "+n.link())
	}
	if !n.hasLink() {
		err = nil // the kernel was quicker
	}
	return errors.Join(err, removeCgroups(ctx, n.cgroup()))
}

func (n *network) hasLink() bool {
	_, err := net.InterfaceByName(n.link())
	return err == nil
}

// release removes everything and gives the index back.
func (n *network) release(ctx context.Context) error {
	return errors.Join(n.removeLeftovers(ctx), n.claim.Close())
}

// sweepNetworks removes what killed owners of networks left.
func sweepNetworks(logf func(string, ...any)) {
	if os.Geteuid() != 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for _, index := range cgroupIndexes() {
		n, ok := tryClaim(ctx, index)
		if ok && n.release(ctx) == nil {
			logf("removed the cgroups %s, whose owner is gone", n.cgroup())
		}
	}
}

// startSwitch makes the switch and joins it to this machine.
func (n *network) startSwitch(ctx context.Context, procs *processes, holder string) error {
	proc, err := procs.startWith(networkAttributes(), "switch", holder)
	if err != nil {
		return err
	}
	n.holder = proc
	err = ipBatch(ctx, nil,
		fmt.Sprintf("link add %s type veth peer name %s netns %d", n.link(), switchLink, n.pid()),
		fmt.Sprintf("address add %s/%d dev %s", n.gateway(), nodeBits, n.link()),
		fmt.Sprintf("link set %s up", n.link()),
	)
	if err != nil {
		return err
	}
	return n.inSwitch(ctx,
		"link add "+switchBridge+" type bridge",
		"link set "+switchBridge+" up",
		fmt.Sprintf("link set %s master %s up", switchLink, switchBridge),
	)
}

// plug joins a node to the switch. pid is of a process of the node.
func (n *network) plug(ctx context.Context, index, pid int) error {
	port, address := port(index), n.node(index).As4()
	err := n.inSwitch(ctx,
		// With an address of its own a node that comes back is not taken for another.
		fmt.Sprintf("link add %s type veth peer name eth0 address 0a:58:%02x:%02x:%02x:%02x netns %d",
			port, address[0], address[1], address[2], address[3], pid),
		fmt.Sprintf("link set %s master %s up", port, switchBridge),
	)
	if err != nil {
		return err
	}
	return ipBatch(ctx, nil, fmt.Sprintf("route replace %s via %s dev %s", n.pods(index), n.node(index), n.link()))
}

// unplug removes the port of a node that has ended. The kernel does the same in
// its own time and may be quicker, so a failure says nothing.
func (n *network) unplug(ctx context.Context, index int) {
	_ = n.inSwitch(ctx, "link delete "+port(index))
}

// inSwitch runs lines of ip in the switch.
func (n *network) inSwitch(ctx context.Context, lines ...string) error {
	return ipBatch(ctx, n.enter(), lines...)
}

func (n *network) enter() []string {
	return []string{tool("nsenter"), "--target=" + strconv.Itoa(n.pid()), "--net", "--"}
}

func (n *network) pid() int { return n.holder.cmd.Process.Pid }

// link is the name of the network's end on this machine.
func (n *network) link() string { return "k8s4ai-" + strconv.Itoa(n.index) }

// cgroup is the directory of the network's cgroups in every hierarchy.
func (n *network) cgroup() string { return claimPrefix + strconv.Itoa(n.index) }

// port is the name of a node's end in the switch.
func port(node int) string { return "port" + strconv.Itoa(node) }

// prefix has a part of nodeBits for the nodes, and after it one for the Pods of
// each node.
func (n *network) prefix() netip.Prefix { return netip.PrefixFrom(n.address(0, 0), 20) }

func (n *network) gateway() netip.Addr { return n.address(0, 1) }

func (n *network) node(index int) netip.Addr { return n.address(0, byte(10+index)) }

func (n *network) pods(index int) netip.Prefix {
	return netip.PrefixFrom(n.address(1+index, 0), nodeBits)
}

func (n *network) address(part int, last byte) netip.Addr {
	parts := n.index*16 + part
	return netip.AddrFrom4([4]byte{198, byte(18 + parts/256), byte(parts % 256), last})
}

// ipBatch runs lines of ip up to the first that fails. before is a command to run
// ip with.
func ipBatch(ctx context.Context, before []string, lines ...string) error {
	command := slices.Concat(before, []string{tool("ip"), "-batch", "-"})
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("setting up the network of the real nodes (%s): %w: %s", strings.Join(lines, "; "), err, bytes.TrimSpace(out))
	}
	return nil
}
