//go:build !withlocked

package main

import "github.com/prometheus/client_golang/prometheus"

// run is what the program did before the library was added.
func run(prometheus.Registerer) error {
	_, err := size()
	return err
}
