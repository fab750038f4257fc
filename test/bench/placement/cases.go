package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/k8s4ai/k8s4ai/test/bench"
)

// kaiNodes is the largest fabric that KAI is asked about: on larger ones a gang of
// 512 pods takes it minutes.
const kaiNodes = 2560

// caseName is n<nodes>-g<pods>-<empty|full>-<kind>, with -packed for the fabric
// that is full in another way.
func caseName(nodes int, fill string, g Gang) string {
	switch fill {
	case empty:
		return fmt.Sprintf("n%d-g%d-empty-%s", nodes, g.Pods, g.Kind)
	case packed:
		return fmt.Sprintf("n%d-g%d-full-%s-packed", nodes, g.Pods, g.Kind)
	}
	return fmt.Sprintf("n%d-g%d-full-%s", nodes, g.Pods, g.Kind)
}

// allGangs are those of every fabric.
func allGangs() []Gang {
	var out []Gang
	for _, pods := range []int{8, 64, 512} {
		for _, kind := range []string{single, anywhere, sliced} {
			out = append(out, Gang{pods, kind})
		}
	}
	return out
}

// sideBySide measures the engines on every fabric. A case that fails leaves no
// figures; the error names it, and the others are measured all the same.
func sideBySide(ctx context.Context, o options, log func(string, ...any)) ([]bench.Row, []*result, error) {
	var (
		rows    []bench.Row
		results []*result
		total   tally
		failed  error
	)
	kai := &kai{options: o}
	for _, nodes := range []int{640, 2560, 10_240} {
		for _, fill := range []string{empty, scatter, packed} {
			gangs := slices.DeleteFunc(allGangs(), func(g Gang) bool { return !o.only.MatchString(caseName(nodes, fill, g)) })
			if len(gangs) == 0 {
				continue
			}
			log("%d nodes, %s", nodes, fill)
			f := newFabric(nodes, fill)
			found, err := measureFabric(ctx, o.effort(), f, fill, gangs)
			failed = errors.Join(failed, err)
			if o.kai && nodes <= kaiNodes {
				log("%d nodes, %s: KAI", nodes, fill)
				failed = errors.Join(failed, kai.measure(ctx, f, found))
			}
			for _, r := range found {
				rows = append(rows, r.rows()...)
				total.add(r)
			}
			results = append(results, found...)
			if err := ctx.Err(); err != nil {
				return rows, results, err
			}
		}
	}
	return append(rows, total.rows()...), results, failed
}

// measureFabric measures the engines of this process.
func measureFabric(ctx context.Context, e effort, f *Fabric, fill string, gangs []Gang) ([]*result, error) {
	var (
		out    []*result
		failed error
		s      *site
	)
	for _, g := range gangs {
		if s == nil {
			var err error
			if s, err = newSite(ctx, f, e); err != nil {
				return out, errors.Join(failed, err)
			}
		}
		name := caseName(len(f.Nodes), fill, g)
		r, err := s.measure(ctx, name, g)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", name, err))
			s = nil // Its churn may not be taken back.
			continue
		}
		out = append(out, r)
	}
	return out, failed
}

// kai is the peer that runs in a process of its own.
type kai struct {
	options
	binary string
}

// measure adds KAI's answers and times to the results. Gangs of 512 pods are
// placed once: each takes KAI seconds.
func (k *kai) measure(ctx context.Context, f *Fabric, results []*result) error {
	if k.binary == "" {
		var err error
		if k.binary, err = buildKAI(ctx, k.root); err != nil {
			return err
		}
	}
	var gangs []Gang
	of := map[Gang]*result{}
	for _, r := range results {
		of[r.gang] = r
		gangs = append(gangs, r.gang)
		for turn := 1; turn < k.effort().kai && r.gang.Pods <= 64; turn++ {
			gangs = append(gangs, r.gang)
		}
	}
	return askKAI(ctx, k.binary, f, gangs, k.kaiLimit, func(g Gang, a kaiAnswer) error {
		r := of[g]
		r.askedKAI, r.kai = true, a
		if a.late {
			return nil
		}
		r.kaiTimes, r.kaiSession, r.kaiAllocs = append(r.kaiTimes, a.AllocateMicros), append(r.kaiSession, a.SessionMicros), append(r.kaiAllocs, a.Allocs)
		if err := f.check(g, a.Answer); err != nil {
			return fmt.Errorf("%s: the answer of KAI: %w", r.name, err)
		}
		if a.placed() && !r.bound.feasible {
			return fmt.Errorf("%s: KAI placed what the lower bound calls impossible", r.name)
		}
		return nil
	})
}

func (o *options) effort() effort {
	if o.quick {
		return quick
	}
	return full
}
