package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/samcday/locked/internal/server/faultproxy"
)

// The acts of the story. Each does something, waits for what must come of it, and tells when it did. Who plays which part
// is seen when an act begins: on a machine that is busy enough a leader may have changed between two acts.

func (d *demo) firstElection(ctx context.Context) error {
	d.story.act(ctx, "The first election",
		`A candidate says to etcd, in one transaction: if nobody leads and nobody waits, I lead;
else I wait at the end of the queue.`)
	first := d.candidates[0]
	if err := d.launch(first); err != nil {
		return err
	}
	r, err := d.journal.of(ctx, d.mark, first.name, "select")
	if err != nil {
		return err
	}
	d.story.line(r.At, first.name, "leads: nobody was there before. Its token is %d", r.Token)
	for _, a := range d.candidates[1:] {
		if err := d.launchInto(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) oneValue(ctx context.Context) error {
	d.story.act(ctx, "One value, read by everyone",
		`The leader's value is what the others need to know, such as its address. Each process is
told of it. It stands under a plain key, so any etcd client can read it too.`)
	leader, err := d.agreed(ctx)
	if err != nil {
		return err
	}
	for _, a := range d.candidates {
		r := d.journal.latest(a.name, "change")
		d.story.aside(a.name, "knows since %.2f s: %s leads, at %s, token %d",
			r.At.Sub(d.story.start).Seconds(), r.ID, r.Value, r.Token)
	}
	d.story.caused(time.Now(), etcdItself, "is asked by a plain client: get %s", path)
	resp, err := d.client.Get(ctx, path)
	if err != nil {
		return err
	}
	if want := leader.ID + ":::" + leader.Value; len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != want {
		return broken("%s holds %v and not %s", path, resp.Kvs, want)
	}
	d.story.line(time.Now(), etcdItself, "answers: %s", resp.Kvs[0].Value)
	return nil
}

func (d *demo) handover(ctx context.Context) error {
	d.story.act(ctx, "A handover",
		`The leader is told to end, as in every deployment. It stops leading first. Then it puts the
next in line in its place, in one transaction: no reader ever finds the place empty.`)
	a, before, err := d.leader(ctx)
	if err != nil {
		return err
	}
	mark, signalled := d.journal.len(), time.Now()
	a.terminate()
	d.story.caused(signalled, a.name, "gets SIGTERM")
	stopped, began, err := d.passed(ctx, mark, a)
	if err != nil {
		return err
	}
	d.story.line(stopped.At, a.name, "does not lead any more: %s", plainCause(stopped))
	d.story.line(began.At, began.who, "leads, with token %d > %d", began.Token, before.Token)
	gone, err := d.journal.of(ctx, mark, a.name, ended)
	if err != nil {
		return err
	}
	if gone.Cause != "exit status 0" {
		return broken("%s ended with %s", a.name, gone.Cause)
	}
	d.story.line(gone.At, a.name, "has ended, exit code 0")
	if err := d.neverEmpty(ctx, mark, a, began); err != nil {
		return err
	}
	return d.launchInto(ctx, a)
}

func (d *demo) crash(ctx context.Context) error {
	d.story.act(ctx, "A crash", fmt.Sprintf(
		`The leader is killed and can tell nobody. Its lease runs out %s after it was last renewed.
etcd looks for such leases twice a second, and deletes what was on them. Then the next in
line leads.`, lease))
	a, renewed, err := d.renewed(ctx)
	if err != nil {
		return err
	}
	mark, died := d.journal.len(), time.Now()
	d.journal.add(record{who: a.name, Kind: killed, At: died})
	a.kill()
	d.absent = a
	d.story.caused(died, a.name, "gets SIGKILL, %s after it last renewed its lease", figure(died.Sub(renewed)))
	freed, err := d.journal.of(ctx, mark, etcdItself, deleted)
	if err != nil {
		return err
	}
	d.story.line(freed.At, etcdItself, "%s's lease has run out, %s is gone", a.name, path)
	began, err := d.successor(ctx, mark, a)
	if err != nil {
		return err
	}
	d.story.line(began.At, began.who, "leads, with token %d", began.Token)
	return nil
}

func (d *demo) cutOff(ctx context.Context) error {
	d.story.act(ctx, "A leader that is cut off", fmt.Sprintf(
		`The network between the leader and etcd loses everything; no connection is closed. The
leader cannot know what etcd tells others. So it stops by its own clock: %s after it last
asked for a renewal that worked, less a fifth for safety. etcd waits %[1]s from the renewal
itself, so only later may somebody else lead.`, lease))
	a, renewed, err := d.renewed(ctx)
	if err != nil {
		return err
	}
	mark, cut := d.journal.len(), time.Now()
	d.cut, d.heal = a, faultproxy.Shut(a.network.Up, a.network.Down)
	d.story.caused(cut, a.name, "is cut off, %s after it last renewed its lease", figure(cut.Sub(renewed)))
	stopped, began, err := d.passed(ctx, mark, a)
	if err != nil {
		return err
	}
	d.story.line(stopped.At, a.name, "does not lead any more: %s", plainCause(stopped))
	d.story.line(began.At, began.who, "leads, with token %d", began.Token)
	safety := began.At.Sub(stopped.At)
	if safety <= 0 {
		return broken("%s led %v before %s had stopped", began.who, -safety, a.name)
	}
	d.story.aside("", "Between the two nobody led, for %s: that is the safety.", figure(safety))
	return nil
}

func (d *demo) rejoin(ctx context.Context) error {
	d.story.act(ctx, "They come back", fmt.Sprintf(
		`A candidate is one until it is stopped. The network works again: %s needs no help. %s,
who was killed, is started again.`, d.cut.name, d.absent.name))
	healed := time.Now()
	d.heal()
	d.story.caused(healed, d.cut.name, "is connected again")
	if err := d.awaitPlace(ctx, d.cut); err != nil {
		return err
	}
	return d.launchInto(ctx, d.absent)
}

// verdict looks back on the whole.
func (d *demo) verdict(context.Context) error {
	terms := d.journal.terms()
	closest, err := judge(terms)
	if err != nil {
		return err
	}
	d.story.printf("\n%s\n", d.story.paint("1", "All as promised"))
	d.story.say("%d terms, never two at a time: at the closest, %s from the end of one to the next.", len(terms), figure(closest))
	if more := len(terms) - plannedTerms; more > 0 {
		d.story.say("%d of them were not planned: this machine was too busy to renew a lease in time.", more)
	}
	d.story.say("Tokens grew: %s. A store that refuses smaller ones is safe from late writes.", tokens(terms))
	d.story.say("It took %s.", figure(time.Since(d.story.start)))
	return nil
}

const plannedTerms = 4 // the first one, and one after each of handover, crash and cut

func plainCause(r record) string { return strings.TrimPrefix(r.Cause, "locked: ") }
