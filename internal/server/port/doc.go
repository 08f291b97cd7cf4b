// Package port keeps addresses of this machine for somebody who is told to listen there: nobody else is given them.
package port
