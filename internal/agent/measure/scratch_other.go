//go:build !linux

package measure

import "errors"

// scratch is a file that is read past the page cache.
type scratch struct{ size int64 }

var errNotLinux = &gapError{ReasonFileSystem, "direct reads are for Linux"}

func writeScratch(string, int64, []byte, func() error) (*scratch, error) { return nil, errNotLinux }
func nvmeOf(string, string) (string, error)                              { return "", errNotLinux }
func (*scratch) descriptor() int                                         { return -1 }
func (*scratch) readAt([]byte, int64) error                              { return errors.ErrUnsupported }
func (*scratch) Close() error                                            { return nil }
