//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// machine is the virtual machine: its console, and QEMU's control socket.
type machine struct {
	cmd     *exec.Cmd
	stdin   io.Writer
	reports chan report
	control net.Conn
	events  chan string
	console strings.Builder // what else it printed: for when it fails
}

// boot starts a machine whose leader finds etcd on this host's loopback.
func boot(ctx context.Context, kernel, initrd, etcdPort, dir string) (*machine, error) {
	socket := filepath.Join(dir, "control")
	m := &machine{reports: make(chan report, 16), events: make(chan string, 16)}
	m.cmd = exec.CommandContext(ctx, "qemu-system-x86_64", "-machine", "pc,accel=tcg", "-m", "512", "-display", "none",
		"-no-reboot", "-kernel", kernel, "-initrd", initrd, "-serial", "stdio",
		"-append", "console=ttyS0 quiet no_console_suspend panic=-1 etcd=10.0.2.2:"+etcdPort,
		"-nic", "user,model=virtio-net-pci,id=net", "-qmp", "unix:"+socket+",server=on,wait=off")
	m.cmd.Stderr = os.Stderr
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if m.stdin, err = m.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	go m.listen(stdout)
	for m.control == nil {
		if m.control, err = net.Dial("unix", socket); err != nil && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		time.Sleep(10 * time.Millisecond) // QEMU tells nobody when its socket is there
	}
	go m.hear()
	return m, m.do("qmp_capabilities")
}

// listen takes the guest's reports from its console.
func (m *machine) listen(stdout io.Reader) {
	defer close(m.reports)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		var r report
		line := strings.TrimSpace(lines.Text())
		if json.Unmarshal([]byte(line), &r) == nil && r.What != "" {
			m.reports <- r
		} else if line != "" {
			fmt.Fprintln(&m.console, line)
		}
	}
}

// hear takes QEMU's events.
func (m *machine) hear() {
	defer close(m.events)
	for d := json.NewDecoder(m.control); ; {
		var message struct{ Event string }
		if err := d.Decode(&message); err != nil {
			return
		}
		if message.Event != "" {
			m.events <- message.Event
		}
	}
}

// do gives QEMU a command.
func (m *machine) do(command string) error {
	_, err := fmt.Fprintf(m.control, "{\"execute\":%q}\n", command)
	return err
}

// plug connects the machine to its network, or takes it off.
func (m *machine) plug(in bool) error {
	_, err := fmt.Fprintf(m.control, `{"execute":"set_link","arguments":{"name":"net","up":%v}}`+"\n", in)
	return err
}

// order gives the guest one.
func (m *machine) order(word string) error {
	_, err := fmt.Fprintln(m.stdin, word)
	return err
}

// await waits for a report.
func (m *machine) await(ctx context.Context, what string) (report, error) {
	for {
		select {
		case r, ok := <-m.reports:
			if !ok {
				return r, fmt.Errorf("the machine has ended:\n%s", &m.console)
			}
			if r.What == what {
				return r, nil
			}
		case <-ctx.Done():
			return report{}, fmt.Errorf("waiting for the machine to report %q: %w\n%s", what, ctx.Err(), &m.console)
		}
	}
}

// awaitEvent waits for an event of QEMU.
func (m *machine) awaitEvent(ctx context.Context, name string) error {
	for {
		select {
		case e, ok := <-m.events:
			if !ok {
				return fmt.Errorf("the machine has ended:\n%s", &m.console)
			}
			if e == name {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("waiting for QEMU's event %s: %w", name, ctx.Err())
		}
	}
}

func (m *machine) kill() {
	_ = m.cmd.Process.Kill() // it may have ended already
	_ = m.cmd.Wait()         // the state does not matter
}
