// Package planfile reads and writes the files from which gangs are planned
// without a cluster:
//
//	fleet file   a description of machines (package fleet), or a snapshot
//	snapshot     a cluster as placement sees it: the same verdicts without it
//	gangs file   GangSchedulingGroups, as they would be applied
//	class file   AcceleratorClasses, as they would be applied
//
// Files come from people. Every size is bounded before it is worked on, unknown
// fields are errors, and every error names the file, the document, the field
// and, where it is known, the line.
//
// A snapshot holds no secret: of Pod templates only what placement needs is kept.
package planfile
