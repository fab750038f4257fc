package fleet

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// MaxFileBytes bounds a fleet file before it is parsed.
const MaxFileBytes = 64 << 10

//go:embed fleets/*.yaml
var readyMade embed.FS

// Provider decides which labels, taints and resources nodes carry, and with that
// how the fabric can be found out.
type Provider string

// The providers.
const (
	// ProviderGKE publishes block, sub-block and host of every node as labels.
	ProviderGKE Provider = "gke"
	// ProviderDOKS publishes no switch topology; domains are declared.
	ProviderDOKS Provider = "doks"
	// ProviderNone is bare metal with GPU feature discovery; domains are declared.
	ProviderNone Provider = "none"
)

// Fleet describes the machines of one cluster and the fabric between them.
type Fleet struct {
	// Name identifies the fleet in output.
	Name string `json:"name"`
	// Provider is gke, doks or none.
	Provider Provider `json:"provider"`
	// Fabric is the RDMA network. Unset when no shape has network ports.
	Fabric Fabric `json:"fabric,omitzero"`
	// Pools are the machines, in the order in which blocks get their letters.
	Pools []Pool `json:"pools"`
}

// Fabric is the RDMA network between the machines.
type Fabric struct {
	// Name is the TopologyDomain of level Fabric.
	Name string `json:"name"`
	// LinkLayer is InfiniBand or Ethernet.
	LinkLayer string `json:"linkLayer"`
}

// Pool is a number of machines of one shape, laid out evenly.
type Pool struct {
	// Name starts the names of the pool's nodes.
	Name string `json:"name"`
	// Shape is one of ShapeNames.
	Shape string `json:"shape"`
	// Blocks is the number of blocks. 0 means outside the fabric.
	Blocks int `json:"blocks,omitempty"`
	// Leaves is the number of leaf switches per block. 0 means none.
	Leaves int `json:"leaves,omitempty"`
	// Racks is the number of NVLink racks per block, for shapes that have them.
	Racks int `json:"racks,omitempty"`
	// Nodes is the number of machines per leaf or rack, or else per block, or
	// else in the pool.
	Nodes int `json:"nodes"`
	// NICGbps is the speed of one network port, for shapes that have ports.
	NICGbps int32 `json:"nicGbps,omitempty"`
}

// Names returns the ready-made fleets in alphabetical order.
func Names() []string {
	entries, err := readyMade.ReadDir("fleets")
	if err != nil {
		return nil
	}
	var names []string
	for _, entry := range entries {
		names = append(names, strings.TrimSuffix(entry.Name(), ".yaml"))
	}
	return names
}

// Load reads a ready-made fleet by name, or a file: whatever contains a path
// separator or ends in .yaml or .yml is a path.
func Load(nameOrPath string) (*Fleet, error) {
	isPath := strings.ContainsRune(nameOrPath, os.PathSeparator) ||
		strings.HasSuffix(nameOrPath, ".yaml") || strings.HasSuffix(nameOrPath, ".yml")
	if !isPath {
		if !slices.Contains(Names(), nameOrPath) {
			return nil, fmt.Errorf("no ready-made fleet is called %q: choose one of %s, or give the path of a file ending in .yaml",
				nameOrPath, strings.Join(Names(), ", "))
		}
		data, err := readyMade.ReadFile(path.Join("fleets", nameOrPath+".yaml"))
		if err != nil {
			return nil, fmt.Errorf("reading fleet %s: %w", nameOrPath, err)
		}
		return Parse(data)
	}
	file, err := os.Open(nameOrPath)
	if err != nil {
		return nil, fmt.Errorf("reading fleet: %w", err)
	}
	data, err := io.ReadAll(io.LimitReader(file, MaxFileBytes+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("reading fleet: %w", err)
	}
	f, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", nameOrPath, err)
	}
	return f, nil
}

// Parse decodes a fleet file. Unknown fields and impossible values are errors that
// name the field.
func Parse(data []byte) (*Fleet, error) {
	if len(data) > MaxFileBytes {
		return nil, fmt.Errorf("decoding fleet: more than %d bytes: describe machines by counts", MaxFileBytes)
	}
	asJSON, err := yaml.YAMLToJSONStrict(data)
	if err != nil {
		return nil, fmt.Errorf("decoding fleet: %w", err)
	}
	f := &Fleet{}
	strict, err := json.UnmarshalStrict(asJSON, f)
	if err := errors.Join(append(strict, err)...); err != nil {
		return nil, fmt.Errorf("decoding fleet: %w", err)
	}
	if err := f.validate(); err != nil {
		return nil, fmt.Errorf("fleet is invalid: %w", err)
	}
	return f, nil
}
