// Package fabricscan writes a scan of the InfiniBand fabric into ConfigMaps, and reads
// it back: one node scans, and all managers read.
package fabricscan

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
	"github.com/k8s4ai/k8s4ai/internal/topology"
)

// Bounds of a stored scan.
const (
	// MaxParts is the number of ConfigMaps that one scan can take.
	MaxParts = 8
	// MaxPartBytes is what one of them holds. The API server takes about
	// twice as much.
	MaxPartBytes = 512 << 10

	// maxBytes bounds the content before it is compressed: a fabric of 10,000
	// machines with 8 adapters each takes 2 MiB.
	maxBytes        = 16 << 20
	maxLeafSwitches = 4096
	maxText         = 64
	guidDigits      = 16
)

const (
	partKey = "scan.json.gz"

	annotationScanGeneration = v1alpha1.LabelFabricScan + "-generation"
	annotationScanDigest     = v1alpha1.LabelFabricScan + "-digest"
	annotationScanParts      = v1alpha1.LabelFabricScan + "-parts"
	annotationScanTime       = v1alpha1.LabelFabricScan + "-time"
	annotationScanHost       = v1alpha1.LabelFabricScan + "-host"
)

// Sets are the names between which the writer of scans alternates, so that
// the scan before is whole while the next one is written.
var Sets = [2]string{"a", "b"}

// Info says which scan it is.
type Info struct {
	// Generation counts the stored scans from 1. It orders them where the clocks
	// of two hosts differ. It is 0 when there is no scan.
	Generation int64
	// Digest identifies the content: equal scans have equal digests.
	Digest string
	// Time is when the fabric was first seen like this, to the second.
	Time time.Time
	// Host is the machine that looked.
	Host string
	// PassedOver says why a scan of a later generation does not count, "" when
	// there is none.
	PassedOver string
}

// storedScan is the content of the parts.
type storedScan struct {
	Leaves []storedLeaf `json:"leaves"`
}

type storedLeaf struct {
	GUID   string `json:"guid"`
	Name   string `json:"name,omitempty"`
	Block  string `json:"block,omitempty"`
	Fabric string `json:"fabric"`
	// Adapters are GUIDs of 16 digits, one behind the other: a list of strings
	// takes a fifth more.
	Adapters string `json:"adapters"`
}

// PartName is the name of the ConfigMap with one part, counted from 0.
func PartName(set string, part int) string {
	return "fabric-scan-" + set + "-" + strconv.Itoa(part)
}

// Digest returns the digest of a scan.
func Digest(scan topology.Scan) (string, error) {
	content, err := encode(scan)
	return digestOf(content), err
}

// Parts returns the ConfigMaps of a scan, without a namespace. The digest
// follows from the scan, so that of info is not read. Equal arguments give equal
// bytes. A scan of more than MaxParts parts is an error.
func Parts(scan topology.Scan, set string, info Info) ([]corev1.ConfigMap, error) {
	content, err := encode(scan)
	if err != nil {
		return nil, err
	}
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(content); err != nil {
		return nil, fmt.Errorf("compressing the scan: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compressing the scan: %w", err)
	}
	count := (packed.Len() + MaxPartBytes - 1) / MaxPartBytes
	if count > MaxParts {
		return nil, fmt.Errorf("the scan takes %d bytes, at most %d fit into %d ConfigMaps", packed.Len(), MaxParts*MaxPartBytes, MaxParts)
	}
	parts := make([]corev1.ConfigMap, count)
	for i := range parts {
		parts[i] = corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Name:   PartName(set, i),
				Labels: map[string]string{v1alpha1.LabelFabricScan: strconv.Itoa(i)},
				Annotations: map[string]string{
					annotationScanGeneration: strconv.FormatInt(info.Generation, 10),
					annotationScanDigest:     digestOf(content),
					annotationScanParts:      strconv.Itoa(count),
					annotationScanTime:       info.Time.UTC().Format(time.RFC3339),
					annotationScanHost:       info.Host,
				},
			},
			BinaryData: map[string][]byte{partKey: packed.Next(MaxPartBytes)},
		}
	}
	return parts, nil
}

func encode(scan topology.Scan) ([]byte, error) {
	stored := storedScan{Leaves: make([]storedLeaf, len(scan.Leaves))}
	for i, leaf := range scan.Leaves {
		var adapters strings.Builder
		for _, guid := range leaf.Adapters {
			adapters.WriteString(formatGUID(guid))
		}
		stored.Leaves[i] = storedLeaf{GUID: leaf.GUID, Name: leaf.Name, Block: leaf.Block, Fabric: leaf.Fabric, Adapters: adapters.String()}
	}
	content, err := json.Marshal(stored)
	if err != nil {
		return nil, fmt.Errorf("encoding the scan: %w", err)
	}
	if len(content) > maxBytes {
		return nil, fmt.Errorf("the scan takes %d bytes, at most %d are allowed", len(content), maxBytes)
	}
	return content, nil
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// Generation returns the generation of the scan that a part belongs to, and
// 0 for what is no part of a scan.
func Generation(part *corev1.ConfigMap) int64 {
	generation, err := strconv.ParseInt(part.Annotations[annotationScanGeneration], 10, 64)
	if err != nil || generation < 0 {
		return 0
	}
	return generation
}

// parts are the parts of one scan that were found.
type parts struct {
	info  Info
	count int
	data  map[int][]byte
}

// Read returns the scan of the highest generation that is whole, from the
// ConfigMaps that carry LabelFabricScan in any order. Without any ConfigMap it
// returns the zero values; when there are some and none of their scans is whole,
// an error that says why.
func Read(maps []corev1.ConfigMap) (topology.Scan, Info, error) {
	var why []string
	for _, found := range scansIn(maps) {
		scan, err := found.decode()
		if err == nil {
			found.info.PassedOver = strings.Join(why, "; ")
			return scan, found.info, nil
		}
		if len(why) < 4 {
			why = append(why, fmt.Sprintf("generation %d: %v", found.info.Generation, err))
		}
	}
	switch {
	case len(why) > 0:
		return topology.Scan{}, Info{}, fmt.Errorf("no scan of the fabric is whole: %s", strings.Join(why, "; "))
	case len(maps) > 0:
		return topology.Scan{}, Info{}, fmt.Errorf("no ConfigMap with the label %s has the annotations of a scan", v1alpha1.LabelFabricScan)
	}
	return topology.Scan{}, Info{}, nil
}

// scansIn sorts parts by the scan that they belong to, the newest scan first.
func scansIn(maps []corev1.ConfigMap) []*parts {
	type identity struct {
		generation int64
		digest     string
		count      int
	}
	scans := map[identity]*parts{}
	for i := range maps {
		part := &maps[i]
		number, err := strconv.Atoi(part.Labels[v1alpha1.LabelFabricScan])
		if err != nil || number < 0 || number >= MaxParts || Generation(part) == 0 {
			continue
		}
		count, err := strconv.Atoi(part.Annotations[annotationScanParts])
		if err != nil {
			continue
		}
		id := identity{Generation(part), part.Annotations[annotationScanDigest], count}
		if scans[id] == nil {
			// Who and when are for people: without a time the scan is as good.
			seen, _ := time.Parse(time.RFC3339, part.Annotations[annotationScanTime])
			info := Info{Generation: id.generation, Digest: id.digest, Time: seen, Host: part.Annotations[annotationScanHost]}
			scans[id] = &parts{info: info, count: count, data: map[int][]byte{}}
		}
		scans[id].data[number] = part.BinaryData[partKey]
	}
	sorted := make([]*parts, 0, len(scans))
	for _, found := range scans {
		sorted = append(sorted, found)
	}
	slices.SortFunc(sorted, func(a, b *parts) int {
		return cmp.Or(cmp.Compare(b.info.Generation, a.info.Generation), cmp.Compare(a.info.Digest, b.info.Digest), cmp.Compare(a.count, b.count))
	})
	return sorted
}

func (p *parts) decode() (topology.Scan, error) {
	if p.count < 1 || p.count > MaxParts {
		return topology.Scan{}, fmt.Errorf("it claims to have %d parts, 1 to %d are possible", p.count, MaxParts)
	}
	var packed bytes.Buffer
	for i := range p.count {
		data, found := p.data[i]
		if !found {
			return topology.Scan{}, fmt.Errorf("%d of %d parts are there", len(p.data), p.count)
		}
		if len(data) > MaxPartBytes {
			return topology.Scan{}, fmt.Errorf("part %d has %d bytes, at most %d are possible", i, len(data), MaxPartBytes)
		}
		packed.Write(data)
	}
	content, err := unpack(&packed)
	if err != nil {
		return topology.Scan{}, err
	}
	if digest := digestOf(content); digest != p.info.Digest {
		return topology.Scan{}, errors.New("the content does not match its digest")
	}
	return decode(content)
}

func unpack(packed io.Reader) ([]byte, error) {
	r, err := gzip.NewReader(packed)
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("decompressing: %w", err)
	}
	if len(content) > maxBytes {
		return nil, fmt.Errorf("it decompresses to more than %d bytes", maxBytes)
	}
	return content, nil
}

func decode(content []byte) (topology.Scan, error) {
	var stored storedScan
	if err := json.Unmarshal(content, &stored); err != nil {
		return topology.Scan{}, fmt.Errorf("decoding: %w", err)
	}
	if len(stored.Leaves) > maxLeafSwitches {
		return topology.Scan{}, fmt.Errorf("it has %d leaf switches, at most %d are possible", len(stored.Leaves), maxLeafSwitches)
	}
	scan := topology.Scan{Leaves: make([]topology.LeafSwitch, len(stored.Leaves))}
	for i, leaf := range stored.Leaves {
		if _, err := parseGUID(leaf.GUID); err != nil {
			return topology.Scan{}, fmt.Errorf("leaf switch %d: %w", i, err)
		}
		for _, text := range []string{leaf.Name, leaf.Block, leaf.Fabric} {
			if !isPlain(text) {
				return topology.Scan{}, fmt.Errorf("leaf switch %s has a name that is not printable or longer than %d bytes", leaf.GUID, maxText)
			}
		}
		if leaf.Fabric == "" {
			return topology.Scan{}, fmt.Errorf("leaf switch %s is in no fabric", leaf.GUID)
		}
		adapters, err := parseGUIDs(leaf.Adapters)
		if err != nil {
			return topology.Scan{}, fmt.Errorf("leaf switch %s: %w", leaf.GUID, err)
		}
		scan.Leaves[i] = topology.LeafSwitch{GUID: leaf.GUID, Name: leaf.Name, Block: leaf.Block, Fabric: leaf.Fabric, Adapters: adapters}
	}
	return scan, nil
}

// formatGUID writes 16 lower-case hexadecimal digits.
func formatGUID(guid uint64) string {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], guid)
	return hex.EncodeToString(b[:])
}

// parseGUID reads 16 lower-case hexadecimal digits.
func parseGUID(text string) (uint64, error) {
	guid, err := strconv.ParseUint(text, 16, 64)
	if err != nil || len(text) != guidDigits || strings.ContainsAny(text, "ABCDEF") {
		return 0, fmt.Errorf("%.40q is no GUID of 16 lower-case hexadecimal digits", text)
	}
	return guid, nil
}

func parseGUIDs(text string) ([]uint64, error) {
	guids := make([]uint64, 0, len(text)/guidDigits)
	for start := 0; start < len(text); start += guidDigits {
		guid, err := parseGUID(text[start:min(start+guidDigits, len(text))])
		if err != nil {
			return nil, err
		}
		guids = append(guids, guid)
	}
	return guids, nil
}

func isPlain(text string) bool {
	return len(text) <= maxText && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}
