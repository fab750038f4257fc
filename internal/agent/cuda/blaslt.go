package cuda

import (
	"errors"
	"fmt"
	"unsafe"
)

// blasCalls are the functions of cuBLASLt in use. Handles and descriptors are
// uintptr, results are int32.
type blasCalls struct {
	create        func(handle *uintptr) int32
	destroy       func(handle uintptr) int32
	getVersion    func() uint64
	descCreate    func(desc *uintptr, compute, scale int32) int32
	descDestroy   func(desc uintptr) int32
	descSet       func(desc uintptr, attribute int32, value unsafe.Pointer, bytes uint64) int32
	layoutCreate  func(layout *uintptr, kind int32, rows, columns uint64, stride int64) int32
	layoutDestroy func(layout uintptr) int32
	preferCreate  func(preference *uintptr) int32
	preferDestroy func(preference uintptr) int32
	preferSet     func(preference uintptr, attribute int32, value unsafe.Pointer, bytes uint64) int32
	heuristic     func(handle, desc, a, b, c, d, preference uintptr, requested int32, results *algorithm, returned *int32) int32
	matmul        func(handle, desc uintptr, alpha *float32, a, aLayout, b, bLayout uintptr, beta *float32, c, cLayout, d, dLayout uintptr, algo *[8]uint64, workspace uintptr, workspaceBytes uint64, stream uintptr) int32
}

func (c *blasCalls) bindings() []binding {
	return []binding{
		{symbol: "cublasLtCreate", function: &c.create},
		{symbol: "cublasLtDestroy", function: &c.destroy},
		{symbol: "cublasLtGetVersion", function: &c.getVersion},
		{symbol: "cublasLtMatmulDescCreate", function: &c.descCreate},
		{symbol: "cublasLtMatmulDescDestroy", function: &c.descDestroy},
		{symbol: "cublasLtMatmulDescSetAttribute", function: &c.descSet},
		{symbol: "cublasLtMatrixLayoutCreate", function: &c.layoutCreate},
		{symbol: "cublasLtMatrixLayoutDestroy", function: &c.layoutDestroy},
		{symbol: "cublasLtMatmulPreferenceCreate", function: &c.preferCreate},
		{symbol: "cublasLtMatmulPreferenceDestroy", function: &c.preferDestroy},
		{symbol: "cublasLtMatmulPreferenceSetAttribute", function: &c.preferSet},
		{symbol: "cublasLtMatmulAlgoGetHeuristic", function: &c.heuristic},
		{symbol: "cublasLtMatmul", function: &c.matmul},
	}
}

// algorithm is cublasLtMatmulHeuristicResult_t: 96 bytes.
type algorithm struct {
	algo           [8]uint64
	workspaceBytes uint64
	state          int32
	_              [5]int32 // How full the device is, and 4 that are reserved.
}

// Values of cudaDataType_t, cublasComputeType_t and cublasOperation_t.
const (
	typeFloat32     = 0
	typeBFloat16    = 14
	typeFloat8E4M3  = 28
	computeFloat32  = 68
	operationNone   = 0
	operationTransp = 1
)

// Values of cublasLtMatmulDescAttributes_t and of the preferences.
const (
	descTransA         = 3
	descTransB         = 4
	descAScale         = 17
	descBScale         = 18
	descFastAccum      = 25
	preferMaxWorkspace = 1
)

// maxAlgorithms is how many algorithms cuBLASLt is asked for.
const maxAlgorithms = 4

// BLAS is cuBLASLt with a handle for the device that was current when it was
// opened.
type BLAS struct {
	driver *Driver
	calls  blasCalls
	path   string
	handle uintptr
}

// OpenBLAS finds cuBLASLt: version 13 with a driver for CUDA 13, else version 12.
// The error is ErrNoLibrary, a SymbolError or a CallError. The caller closes it.
func (c *Context) OpenBLAS(search Search) (*BLAS, error) {
	names := []string{"libcublasLt.so.12"}
	if c.driver.version >= 13000 {
		names = []string{"libcublasLt.so.13", "libcublasLt.so.12"}
	}
	lib, err := search.openLibrary(search.BLASLt, names, toolkitFolders)
	if err != nil {
		return nil, err
	}
	b := &BLAS{driver: c.driver, path: lib.path}
	if err := lib.bind(b.calls.bindings()); err != nil {
		return nil, err
	}
	if err := checkBLAS("cublasLtCreate", b.calls.create(&b.handle)); err != nil {
		return nil, err
	}
	return b, nil
}

// Close gives the handle back.
func (b *BLAS) Close() error {
	return checkBLAS("cublasLtDestroy", b.calls.destroy(b.handle))
}

// Path is where the library was found.
func (b *BLAS) Path() string { return b.path }

// Version is the number of the library, such as 120600.
func (b *BLAS) Version() int { return int(b.calls.getVersion()) }

// Precision is the type of the factors of a matrix product. The result is BF16
// and the sum is FP32 for all of them.
type Precision int

// The precisions.
const (
	BF16 Precision = iota
	// FP8 is E4M3; it takes compute capability 8.9.
	FP8
)

// Bytes is the size of one element.
func (p Precision) Bytes() int64 {
	if p == FP8 {
		return 1
	}
	return 2
}

func (p Precision) kind() int32 {
	if p == FP8 {
		return typeFloat8E4M3
	}
	return typeBFloat16
}

// MatmulMemory is what a product of two square matrices works on. A and B hold
// N x N elements of the precision, D as many of BF16. Scale holds one FP32 and is
// used for FP8 alone.
type MatmulMemory struct {
	A, B, D, Scale, Workspace Memory
}

// Matmul is a product D = A^T B of square matrices, ready to run.
type Matmul struct {
	blas        *BLAS
	memory      MatmulMemory
	desc        uintptr
	in, out     uintptr
	algorithms  []algorithm
	alpha, beta float32
}

// NewMatmul prepares the product of two n x n matrices. The first factor is
// transposed, since cuBLASLt has FP8 in that form only and BF16 is as fast in it.
// NotSupported tells of an error that the device has no such kernel.
func (b *BLAS) NewMatmul(precision Precision, n int64, memory MatmulMemory) (*Matmul, error) {
	factor := n * n * precision.Bytes()
	if n <= 0 || memory.A.Bytes < factor || memory.B.Bytes < factor || memory.D.Bytes < 2*n*n {
		return nil, fmt.Errorf("preparing a product of %d x %d matrices: the memory is too small", n, n)
	}
	m := &Matmul{blas: b, memory: memory, alpha: 1}
	if err := m.describe(precision, n); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	if err := m.choose(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Matmul) describe(precision Precision, n int64) error {
	calls := &m.blas.calls
	if err := checkBLAS("cublasLtMatmulDescCreate", calls.descCreate(&m.desc, computeFloat32, typeFloat32)); err != nil {
		return err
	}
	transposed, plain := int32(operationTransp), int32(operationNone)
	failures := []error{
		m.set(descTransA, unsafe.Pointer(&transposed), unsafe.Sizeof(transposed)),
		m.set(descTransB, unsafe.Pointer(&plain), unsafe.Sizeof(plain)),
	}
	if precision == FP8 {
		fast, scale := int8(1), m.memory.Scale.address
		failures = append(failures,
			m.set(descFastAccum, unsafe.Pointer(&fast), unsafe.Sizeof(fast)),
			m.set(descAScale, unsafe.Pointer(&scale), unsafe.Sizeof(scale)),
			m.set(descBScale, unsafe.Pointer(&scale), unsafe.Sizeof(scale)))
	}
	size := uint64(n)
	return errors.Join(append(failures,
		checkBLAS("cublasLtMatrixLayoutCreate", calls.layoutCreate(&m.in, precision.kind(), size, size, n)),
		checkBLAS("cublasLtMatrixLayoutCreate", calls.layoutCreate(&m.out, typeBFloat16, size, size, n)))...)
}

func (m *Matmul) set(attribute int32, value unsafe.Pointer, bytes uintptr) error {
	return checkBLAS("cublasLtMatmulDescSetAttribute", m.blas.calls.descSet(m.desc, attribute, value, uint64(bytes)))
}

// choose asks cuBLASLt for its best algorithms.
func (m *Matmul) choose() error {
	calls := &m.blas.calls
	var preference uintptr
	if err := checkBLAS("cublasLtMatmulPreferenceCreate", calls.preferCreate(&preference)); err != nil {
		return err
	}
	defer calls.preferDestroy(preference)
	workspace := uint64(m.memory.Workspace.Bytes)
	err := checkBLAS("cublasLtMatmulPreferenceSetAttribute",
		calls.preferSet(preference, preferMaxWorkspace, unsafe.Pointer(&workspace), uint64(unsafe.Sizeof(workspace))))
	if err != nil {
		return err
	}
	var found int32
	results := make([]algorithm, maxAlgorithms)
	code := calls.heuristic(m.blas.handle, m.desc, m.in, m.in, m.out, m.out, preference, maxAlgorithms, &results[0], &found)
	if err := checkBLAS("cublasLtMatmulAlgoGetHeuristic", code); err != nil {
		return err
	}
	for _, result := range results[:max(0, min(found, maxAlgorithms))] {
		if result.state == codeSuccess && result.workspaceBytes <= workspace {
			m.algorithms = append(m.algorithms, result)
		}
	}
	if len(m.algorithms) == 0 {
		return checkBLAS("cublasLtMatmulAlgoGetHeuristic", blasNotSupported)
	}
	return nil
}

// Algorithms is how many algorithms there are for Queue, the library's favourite
// first. It is at least 1 and at most 4.
func (m *Matmul) Algorithms() int { return len(m.algorithms) }

// Queue queues the product.
func (m *Matmul) Queue(q *Queue, algorithm int) error {
	use, memory := &m.algorithms[algorithm], m.memory
	return checkBLAS("cublasLtMatmul", m.blas.calls.matmul(m.blas.handle, m.desc,
		&m.alpha, memory.A.address, m.in, memory.B.address, m.in,
		&m.beta, memory.D.address, m.out, memory.D.address, m.out,
		&use.algo, memory.Workspace.address, uint64(memory.Workspace.Bytes), q.stream))
}

// Close gives the descriptions back. No product may be under way.
func (m *Matmul) Close() error {
	calls := &m.blas.calls
	var failures []error
	for _, layout := range []uintptr{m.in, m.out} {
		if layout != 0 {
			failures = append(failures, checkBLAS("cublasLtMatrixLayoutDestroy", calls.layoutDestroy(layout)))
		}
	}
	if m.desc != 0 {
		failures = append(failures, checkBLAS("cublasLtMatmulDescDestroy", calls.descDestroy(m.desc)))
	}
	return errors.Join(failures...)
}

// blasNames are the names of cublasStatus_t.
var blasNames = map[int32]string{
	1: "CUBLAS_STATUS_NOT_INITIALIZED", blasAllocFailed: "CUBLAS_STATUS_ALLOC_FAILED", 7: "CUBLAS_STATUS_INVALID_VALUE",
	8: "CUBLAS_STATUS_ARCH_MISMATCH", 11: "CUBLAS_STATUS_MAPPING_ERROR", 13: "CUBLAS_STATUS_EXECUTION_FAILED",
	14: "CUBLAS_STATUS_INTERNAL_ERROR", blasNotSupported: "CUBLAS_STATUS_NOT_SUPPORTED", 16: "CUBLAS_STATUS_LICENSE_ERROR",
}

func checkBLAS(call string, code int32) error {
	if code == codeSuccess {
		return nil
	}
	name := blasNames[code]
	if name == "" {
		name = "unknown status"
	}
	return &CallError{Call: call, Name: name, Code: code}
}

// The library writes structures of this size.
var _ [96]byte = [unsafe.Sizeof(algorithm{})]byte{}
