//go:build !withlocked

package main

import "github.com/prometheus/client_golang/prometheus"

// run is what the program did before the library was added.
func run(prometheus.Registerer) error {
	if _, err := size(); err != nil {
		return err
	}
	client, err := connect("127.0.0.1:2379")
	if err != nil {
		return err
	}
	return client.Close()
}
