// Package cuda calls the CUDA driver, cuBLASLt and cuFile of the machine it runs
// on. The libraries are opened when they are needed, so that the same binary runs
// on machines without an accelerator; a library or a symbol that is missing is an
// error and never ends the process.
//
// The numbers here (sizes of structures, values of enumerations) are those of
// cuda.h and cublasLt.h of CUDA 12 and 13 and of cufile.h of CUDA 12.9. They were
// checked against public bindings and against hack/fakecuda, and not on a device.
//
// A CUDA context belongs to a thread. A goroutine that uses a Context locks its
// thread first and calls Use.
package cuda
