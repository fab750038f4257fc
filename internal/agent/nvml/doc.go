// Package nvml reads NVIDIA GPUs through the driver's library. It is the one
// package that needs cgo: the library is loaded when the program runs, so that
// building needs no driver and a machine without one is a machine like any other.
//
//	Find ──path──> Open ──Driver──> Read    one look, for the report
//	                                Events  Xids as they happen
//	                                Idle    whether nothing uses a device
//
// Functions of the library are bound at their first call, and a call to one that
// the installed driver does not have ends the process. symbols.go therefore lists
// every function that the package reaches: Open refuses a library that misses a
// required one, and what newer drivers added is called only where it exists.
//
// Everything that the driver says is taken for doubtful: numbers are bounded,
// text is cut and made printable, and a device that fails hides no other one.
package nvml
