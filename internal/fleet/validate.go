package fleet

import (
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Bounds of a fleet. They are above the largest clusters that Kubernetes is run
// with, and low enough that a typing error cannot fill a machine's memory.
const (
	maxPools  = 32
	maxBlocks = 702 // a … zz
	maxNodes  = 20000
	// maxMembers is what one TopologyDomain can declare.
	maxMembers = 4096
	// maxNameLength leaves room in a label value for what names are built from.
	maxNameLength = 30
)

func (f *Fleet) validate() error {
	errs := validName(field.NewPath("name"), f.Name)
	providers := []Provider{ProviderDOKS, ProviderGKE, ProviderNone}
	if f.Provider != ProviderDOKS && f.Provider != ProviderGKE && f.Provider != ProviderNone {
		errs = append(errs, field.NotSupported(field.NewPath("provider"), f.Provider, providers))
	}
	pools := field.NewPath("pools")
	if len(f.Pools) == 0 {
		errs = append(errs, field.Required(pools, "a fleet has at least one pool"))
	}
	if len(f.Pools) > maxPools {
		return append(errs, field.TooMany(pools, len(f.Pools), maxPools)).ToAggregate()
	}
	seen := map[string]bool{}
	for i := range f.Pools {
		pool, at := &f.Pools[i], pools.Index(i)
		if seen[pool.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), pool.Name))
		}
		seen[pool.Name] = true
		errs = append(errs, f.validatePool(at, pool)...)
	}
	errs = append(errs, f.validateFabric(field.NewPath("fabric"))...)
	if len(errs) == 0 {
		errs = f.validateTotals(pools)
	}
	if len(errs) == 0 {
		errs = f.validateNames(pools)
	}
	return errs.ToAggregate()
}

//nolint:gocyclo // One check after another, each on its own.
func (f *Fleet) validatePool(at *field.Path, pool *Pool) field.ErrorList {
	errs := validName(at.Child("name"), pool.Name)
	shape, known := shapes[pool.Shape]
	if !known {
		return append(errs, field.NotSupported(at.Child("shape"), pool.Shape, ShapeNames()))
	}
	errs = append(errs, within(at.Child("blocks"), pool.Blocks, 0, maxBlocks)...)
	errs = append(errs, within(at.Child("leaves"), pool.Leaves, 0, maxNodes)...)
	errs = append(errs, within(at.Child("racks"), pool.Racks, 0, maxNodes)...)
	errs = append(errs, within(at.Child("nodes"), pool.Nodes, 1, maxNodes)...)
	switch {
	case shape.trays > 0 && (pool.Racks == 0 || pool.Nodes != shape.trays):
		errs = append(errs, field.Invalid(at.Child("nodes"), pool.Nodes, shapeRackHint(pool.Shape, shape)))
	case shape.trays == 0 && pool.Racks > 0:
		errs = append(errs, field.Forbidden(at.Child("racks"), pool.Shape+" has no NVLink between machines: use leaves"))
	case pool.Racks > 0 && pool.Leaves > 0:
		errs = append(errs, field.Forbidden(at.Child("leaves"), "a pool has leaves or racks, not both"))
	}
	if pool.Blocks == 0 && pool.Leaves+pool.Racks > 0 {
		errs = append(errs, field.Required(at.Child("blocks"), "leaves and racks are counted per block"))
	}
	if len(shape.nics) > 0 {
		errs = append(errs, within(at.Child("nicGbps"), int(pool.NICGbps), 1, 100000)...)
	} else if pool.NICGbps != 0 {
		errs = append(errs, field.Forbidden(at.Child("nicGbps"), pool.Shape+" has no RDMA ports"))
	}
	if f.Provider == ProviderGKE && shape.gpus > 0 && shape.gkeAccelerator == "" {
		errs = append(errs, field.Invalid(at.Child("shape"), pool.Shape, "gke does not offer it"))
	}
	return errs
}

func (f *Fleet) validateFabric(at *field.Path) field.ErrorList {
	isNeeded := false
	for _, pool := range f.Pools {
		isNeeded = isNeeded || pool.Blocks > 0 || len(shapes[pool.Shape].nics) > 0
	}
	if !isNeeded && f.Fabric == (Fabric{}) {
		return nil
	}
	errs := validName(at.Child("name"), f.Fabric.Name)
	if layer := f.Fabric.LinkLayer; layer != "InfiniBand" && layer != "Ethernet" {
		errs = append(errs, field.NotSupported(at.Child("linkLayer"), layer, []string{"Ethernet", "InfiniBand"}))
	}
	return errs
}

// validateTotals runs on counts that are each within bounds, so that products
// cannot overflow.
func (f *Fleet) validateTotals(pools *field.Path) field.ErrorList {
	var errs field.ErrorList
	blocks := 0
	for i := range f.Pools {
		pool := &f.Pools[i]
		blocks += pool.Blocks
		if pool.Blocks > 0 && pool.Nodes > maxMembers {
			errs = append(errs, field.Invalid(pools.Index(i).Child("nodes"), pool.Nodes, "more than one TopologyDomain can hold: use more leaves or blocks"))
		}
	}
	if blocks > maxBlocks {
		errs = append(errs, field.Invalid(pools, blocks, "too many blocks in all"))
	}
	if count := f.NodeCount(); count > maxNodes {
		errs = append(errs, field.Invalid(pools, count, "too many nodes in all: at most 20000"))
	}
	return errs
}

// validateNames finds nodes and domains that pool names make collide, such as
// node x-a-00 of pool x and of pool x-a.
func (f *Fleet) validateNames(pools *field.Path) field.ErrorList {
	taken := map[string]bool{f.Fabric.Name: true}
	machines := f.Machines()
	for i := range machines {
		taken[machines[i].Block], taken[machines[i].Leaf], taken[machines[i].Rack] = true, true, true
	}
	for i := range machines {
		if taken[machines[i].Name] {
			return field.ErrorList{field.Invalid(pools, machines[i].Pool, "its node "+machines[i].Name+" has the name of another node or domain: rename the pool")}
		}
		taken[machines[i].Name] = true
	}
	return nil
}

func validName(at *field.Path, name string) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	if len(name) > maxNameLength {
		return field.ErrorList{field.TooLong(at, name, maxNameLength)}
	}
	var errs field.ErrorList
	for _, message := range validation.IsDNS1123Label(name) {
		errs = append(errs, field.Invalid(at, name, message))
	}
	return errs
}

func within(at *field.Path, value, low, high int) field.ErrorList {
	if value < low || value > high {
		return field.ErrorList{field.Invalid(at, value, validation.InclusiveRangeError(low, high))}
	}
	return nil
}
