// Package store keeps the scan of the InfiniBand fabric in ConfigMaps, where
// every manager reads it, and keeps it current.
package store
