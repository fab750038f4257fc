// Command demo shows the main job on a real control plane: a fabric of GPU nodes
// becomes TopologyDomains, and gangs start whole in the right place or not at
// all. It checks through the API each claim that it prints, and exits with 0 only
// if all of them hold.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/k8s4ai/k8s4ai/test/harness"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	begin := time.Now()
	say("Starting etcd, kube-apiserver, controller-manager, scheduler and 64 simulated HGX H100 machines")
	env, err := harness.Start(ctx, "hgx-64", func(format string, args ...any) { fmt.Printf("  "+format+"\n", args...) })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, env.Stop()) }()
	if err := env.StartManager(); err != nil {
		return err
	}
	fmt.Println("  the manager runs with the ServiceAccount of config/default")

	d := &demo{env: env, samples: filepath.Join(env.Root, "config", "samples"), own: filepath.Join(env.Root, "test", "demo", "gangs.yaml")}
	d.tell(ctx)
	return d.summary(time.Since(begin))
}

// tell tells the story, one chapter after another. A chapter goes on where the
// one before has left the cluster.
func (d *demo) tell(ctx context.Context) {
	d.chapter("The fabric: node labels become a tree")
	d.check(ctx, "2 Blocks, 4 Leaves and 64 Nodes, with 512 GPUs", d.fabricStands)
	d.check(ctx, "class h100-sxm-80gb is on 64 nodes, with 512 GPUs free", d.classMatched)
	d.drawTree(ctx)

	d.chapter("A gang of 16 pods x 8 GPUs that must share one leaf")
	d.apply(ctx, filepath.Join(d.samples, "gang_pretrain.yaml"))
	d.check(ctx, "all 16 pods run, on 16 machines of exactly one leaf", func(ctx context.Context) error {
		return d.runsWithin(ctx, "default/pretrain", 16, leafLabel)
	})

	d.chapter("A gang of two roles: 8 trainers x 8 GPUs and 6 rollouts x 4 GPUs in one block")
	d.apply(ctx, filepath.Join(d.samples, "gang_rl.yaml"))
	d.check(ctx, "all 14 pods of both roles run, in exactly one block", func(ctx context.Context) error {
		return d.runsWithin(ctx, "default/rl", 14, blockLabel)
	})

	d.chapter("A gang that is too big for the free room, and another that ends")
	d.applyOnly(ctx, "finetune")
	d.check(ctx, "all 15 pods of finetune run, in exactly one block", func(ctx context.Context) error {
		return d.runsWithin(ctx, "default/finetune", 15, blockLabel)
	})
	d.applyOnly(ctx, "big")
	d.check(ctx, `big is refused: "needs 24 slots in one Block, best is block-b with 17"`, func(ctx context.Context) error {
		return d.refused(ctx, "default/big", "WaitingForRoom", "needs 24 slots in one Block, best is block-b with 17")
	})
	d.check(ctx, "no pod of big exists while it waits", func(ctx context.Context) error { return d.hasNoPods(ctx, "default/big") })
	d.check(ctx, "finetune ends, and big is placed by itself: 24 pods run in exactly one block", func(ctx context.Context) error {
		return d.runsWithin(ctx, "default/big", 24, blockLabel)
	})
	d.check(ctx, "finetune is Finished with reason Succeeded", func(ctx context.Context) error {
		return d.condition(ctx, "default/finetune", "Finished", "Succeeded")
	})

	d.chapter("Half of a gang never runs")
	d.applyOnly(ctx, "never")
	d.check(ctx, "a gang bigger than any block is Stalled as Unsatisfiable, and has no pod", func(ctx context.Context) error {
		return errors.Join(d.condition(ctx, "default/never", "Stalled", "Unsatisfiable"), d.hasNoPods(ctx, "default/never"))
	})
	d.applyOnly(ctx, "tight", "two-pods", "half")
	d.check(ctx, "a gang of 5 whose namespace admits 2 pods is released whole, with the quota's own message", func(ctx context.Context) error {
		return errors.Join(d.messageHas(ctx, "tight/half", "exceeded quota"), d.hasNoPods(ctx, "tight/half"))
	})
	d.check(ctx, "every pod in the cluster is where its gang's status says, none missing, none doubled, no GPU given twice", d.nothingBroken)
}

func say(text string) { fmt.Printf("\n== %s\n", text) }
