// Package metrics holds the names of the manager's own metrics. Numbers about
// objects come from a collector over the cache, so that they vanish with the
// object; labels take their values from constants of the API only.
package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/k8s4ai/k8s4ai/api/v1alpha1"
)

var (
	// PlanDuration is how long one pass of the planner takes.
	PlanDuration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "k8s4ai_gang_plan_duration_seconds",
		Help:    "Time of one pass over the waiting gangs.",
		Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
	})
	// Commits counts placements that were committed.
	Commits = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "k8s4ai_gang_commits_total",
		Help: "Placements that were committed.",
	})
	// Releases counts placements that were given up, by reason.
	Releases = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "k8s4ai_gang_releases_total",
		Help: "Placements that were given up, by the reason in status.release.",
	}, []string{"reason"})

	groupsDesc = prometheus.NewDesc("k8s4ai_gang_groups", "GangSchedulingGroups, by the reason of their Ready condition.", []string{"reason"}, nil)
)

// collectTimeout bounds the read of a cache that has not filled yet.
const collectTimeout = 5 * time.Second

// Register makes the metrics known. Gangs are counted through reader, which
// should read from a cache.
func Register(registry prometheus.Registerer, reader client.Reader) error {
	for _, c := range []prometheus.Collector{PlanDuration, Commits, Releases, groups{reader}} {
		if err := registry.Register(c); err != nil {
			return err
		}
	}
	return nil
}

// groups counts gangs when it is asked.
type groups struct{ reader client.Reader }

// Describe implements prometheus.Collector.
func (groups) Describe(out chan<- *prometheus.Desc) { out <- groupsDesc }

// Collect implements prometheus.Collector.
func (g groups) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout) //nolint:forbidigo // A collector is given none.
	defer cancel()
	var list v1alpha1.GangSchedulingGroupList
	if err := g.reader.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		out <- prometheus.NewInvalidMetric(groupsDesc, err)
		return
	}
	counts := map[string]int{}
	for i := range list.Items {
		reason := "Unknown"
		if ready := meta.FindStatusCondition(list.Items[i].Status.Conditions, v1alpha1.ConditionReady); ready != nil {
			reason = ready.Reason
		}
		counts[reason]++
	}
	for reason, n := range counts {
		out <- prometheus.MustNewConstMetric(groupsDesc, prometheus.GaugeValue, float64(n), reason)
	}
}
