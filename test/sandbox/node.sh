# Gives a real node its file system and its network. It runs in the namespaces of
# the node, and what it mounts is seen nowhere else.
#   node.sh DIRECTORY NAME ADDRESS/BITS ['PREFIX via ADDRESS']...
set -eu
dir=$1 name=$2 address=$3
shift 3

# The mounts of Pods reach other Pods of the node when they ask for it.
mount --make-rshared /
mount -t proc proc /proc
hostname "$name"

# Writes below these directories go to the node's own, so that a node has the paths
# of any other one. All is prepared before the first of them is covered, for the
# directory may lie below one.
for top in etc opt var; do
	mkdir -p "$dir/$top/changes" "$dir/$top/work" "$dir/$top/merged"
	mount -t overlay overlay -o "lowerdir=/$top,upperdir=$dir/$top/changes,workdir=$dir/$top/work" "$dir/$top/merged"
done
# Containers need a file system below them that is no overlay itself.
for path in lib/containerd lib/kubelet; do
	mkdir -p "$dir/$path" "$dir/var/merged/$path"
	mount --bind "$dir/$path" "$dir/var/merged/$path"
done
for top in etc opt var; do
	mount --rbind "$dir/$top/merged" "/$top"
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock

echo 1 >/proc/sys/net/ipv4/ip_forward
{
	echo link set lo up
	echo "address add $address dev eth0"
	echo link set eth0 up
	# Before kube-proxy turns it into the address of a Pod, a cluster address needs a
	# way out too. There is no way to anywhere else.
	for route in "$@"; do
		echo "route replace $route dev eth0"
	done
} | ip -batch -
