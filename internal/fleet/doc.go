// Package fleet is the one description of machines and fabric that the sandbox,
// the offline planner and the benchmarks share. A fleet file is a few lines of
// YAML: pools of one machine shape each, laid out in blocks, and in leaves or
// NVLink racks. Everything else follows from the file without chance, so that two
// runs see the same GPUs:
//
//	file ──Load──> Fleet ──Machines()──> names and places
//	                     ──Nodes()─────> what the cloud and the kubelet publish
//	                     ──Domains()───> what a platform team declares
//	                     ──Reports()───> what the node agents see
//	                     ──Sysfs()─────> what the kernel of a machine publishes
//	                     ──NVML()──────> what the GPU driver of a machine answers
//	                     ──IBSim()─────> the InfiniBand fabric as cabled
//
// Blocks are named block-a, block-b, … over all pools in order; leaves
// block-a-leaf-0, racks block-a-rack-0, nodes <pool>-<block>-<leaf or rack>-<index>,
// such as hgx-a-0-00. Nodes of a pool without blocks are <pool>-<index> and stand
// outside the fabric.
package fleet
