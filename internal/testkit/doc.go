// Package testkit is what tests of controllers share:
//
//   - builders of API objects, such as Gang("train").Role("worker", 4, 8).Obj();
//   - one real API server per test binary (APIServer), with an empty world for
//     every test;
//   - Cache, which reads like the cache of a manager and can be made stale;
//   - Faults, which makes chosen writes fail, as a crash or a lost answer does;
//   - the parts of a cluster that the API server lacks: Bind plays the
//     scheduler, SetPodStatus and Reap play the kubelets.
//
// Only tests import it.
package testkit
