// Package convert turns API objects into the values of the core packages and
// back. It has no client, clock or logger.
//
// It is also where an unset field gets its meaning: each default stands in one
// function here, and nowhere in the schema.
package convert
