package cuda

import (
	"errors"
	"fmt"
)

// ErrNoLibrary is when a library cannot be opened. Of the driver it means that
// the machine has no accelerator, or that this process does not see it.
var ErrNoLibrary = errors.New("library not found")

// ErrNoDevice is when the driver is there and has no device for this process.
var ErrNoDevice = errors.New("the CUDA driver has no device")

// SymbolError is a function that a library lacks.
type SymbolError struct {
	// Library is the path under which the library was opened.
	Library string
	Symbol  string
}

func (e *SymbolError) Error() string {
	return fmt.Sprintf("%s has no function %s: install a newer version", e.Library, e.Symbol)
}

// CallError is a call that a library refused.
type CallError struct {
	// Call is the function, Name the library's name of the code, such as
	// "CUDA_ERROR_OUT_OF_MEMORY".
	Call, Name string
	Code       int32
}

func (e *CallError) Error() string {
	return fmt.Sprintf("%s: %s (%d)", e.Call, e.Name, e.Code)
}

// Codes of the driver on which something depends here.
const (
	codeSuccess              = 0
	codeOutOfMemory          = 2
	codeNoDevice             = 100
	codeECCUncorrectable     = 214
	codeNVLinkUncorrectable  = 220
	codeNotReady             = 600
	codePeerAlreadyEnabled   = 704
	firstStickyLaunchCode    = 700
	lastStickyLaunchCode     = 702
	firstStickyHardwareCode  = 710
	lastStickyHardwareCode   = 721
	codeContextIsDestroyed   = 709
	codeContained            = 226
	codeUnknown              = 999
	codeHostMemoryRegistered = 712
	codeHostMemoryUnknown    = 713
	codeTooManyPeers         = 711
)

// Codes of cuBLASLt.
const (
	blasAllocFailed  = 3
	blasNotSupported = 15
)

// OutOfMemory is whether err says that the device or the host is short of memory.
func OutOfMemory(err error) bool {
	var call *CallError
	if !errors.As(err, &call) {
		return false
	}
	return call.Code == codeOutOfMemory || call.library() == "cublasLt" && call.Code == blasAllocFailed
}

// NotSupported is whether err says that cuBLASLt has no kernel for what was asked.
func NotSupported(err error) bool {
	var call *CallError
	return errors.As(err, &call) && call.library() == "cublasLt" && call.Code == blasNotSupported
}

// Sticky is whether err leaves the context unusable: every later call fails in
// the same way until the process ends.
func Sticky(err error) bool {
	var call *CallError
	if !errors.As(err, &call) || call.library() != "cu" {
		return false
	}
	switch code := call.Code; code {
	case codeECCUncorrectable, codeNVLinkUncorrectable, codeContained, codeContextIsDestroyed, codeUnknown:
		return true
	case codeTooManyPeers, codeHostMemoryRegistered, codeHostMemoryUnknown:
		return false
	default:
		return code >= firstStickyLaunchCode && code <= lastStickyLaunchCode ||
			code >= firstStickyHardwareCode && code <= lastStickyHardwareCode
	}
}

// library is the prefix of the library whose codes the call returns.
func (e *CallError) library() string {
	for _, prefix := range []string{"cublasLt", "cuFile"} {
		if len(e.Call) > len(prefix) && e.Call[:len(prefix)] == prefix {
			return prefix
		}
	}
	return "cu"
}
