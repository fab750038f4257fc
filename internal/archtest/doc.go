// Package archtest holds the rules of the source tree as tests: who may import
// whom, how long a function and a file may be, and that the documentation names
// what the code has. It has no code of its own.
//
// A test that fails here asks for a decision. Either the change moves, or the
// rule in this package changes in the same commit and says why.
package archtest
