package main

import (
	"context"
	"time"
)

// The acts of the story. Each does something, waits for what must come of it, and tells when it did.

func (d *demo) firstElection(ctx context.Context) error {
	d.story.act(ctx, "The first election",
		`A candidate says to etcd, in one transaction: if nobody leads and nobody waits, I lead;
else I wait at the end of the queue.`)
	mark := d.journal.len()
	if err := d.launch(d.ada); err != nil {
		return err
	}
	r, err := d.journal.await(ctx, mark, "ada", "select")
	if err != nil {
		return err
	}
	d.story.line(r.At, "ada", "leads: nobody was there before. Its token is %d", r.Token)
	for _, a := range []*actor{d.bob, d.cleo} {
		if err := d.launch(a); err != nil {
			return err
		}
		if err := d.awaitQueued(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) oneValue(ctx context.Context) error {
	d.story.act(ctx, "One value, read by everyone",
		`The leader's value is what the others need to know, such as its address. Each process is
told of it. It stands under a plain key, so any etcd client can read it too.`)
	leader := d.journal.last("ada", "select")
	for _, a := range d.actors() {
		r, err := d.journal.await(ctx, 0, a.name, "change")
		if err != nil {
			return err
		}
		if r.ID != "ada" || r.Value != d.ada.value || r.Token != leader.Token {
			return broken("%s believes in %s with value %q and token %d", a.name, r.ID, r.Value, r.Token)
		}
		d.story.aside(a.name, "knows since %.2f s: %s leads, at %s, token %d",
			r.At.Sub(d.story.start).Seconds(), r.ID, r.Value, r.Token)
	}
	asked := time.Now()
	d.story.caused(asked, etcd, "is asked by a plain client: get %s", demoPath)
	resp, err := d.client.Get(ctx, demoPath)
	if err != nil {
		return err
	}
	if want := "ada:::" + d.ada.value; len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != want {
		return broken("%s holds %v and not %s", demoPath, resp.Kvs, want)
	}
	d.story.line(time.Now(), etcd, "answers: %s", resp.Kvs[0].Value)
	return nil
}

func (d *demo) handover(ctx context.Context) error {
	d.story.act(ctx, "A handover",
		`ada is told to end, as in every deployment. It stops leading first. Then it puts bob in its
place, in one transaction: no reader ever finds the place empty.`)
	mark := d.journal.len()
	before := d.journal.last("ada", "select")
	signalled := time.Now()
	d.ada.terminate()
	d.story.caused(signalled, "ada", "gets SIGTERM")
	stopped, err := d.journal.await(ctx, mark, "ada", "deselect")
	if err != nil {
		return err
	}
	d.story.line(stopped.At, "ada", "does not lead any more: %s", plainCause(stopped))
	began, err := d.journal.await(ctx, mark, "bob", "select")
	if err != nil {
		return err
	}
	d.story.line(began.At, "bob", "leads, with token %d > %d", began.Token, before.Token)
	gone, err := d.journal.await(ctx, mark, "ada", ended)
	if err != nil {
		return err
	}
	if gone.Cause != "exit status 0" {
		return broken("ada ended with %s", gone.Cause)
	}
	d.story.line(gone.At, "ada", "has ended, exit code 0")
	if err := d.neverEmpty(ctx, mark, began); err != nil {
		return err
	}
	if err := d.launch(d.ada); err != nil {
		return err
	}
	return d.awaitQueued(ctx, d.ada)
}

func (d *demo) crash(ctx context.Context) error {
	d.story.act(ctx, "A crash",
		`bob is killed and can tell nobody. Its lease runs out 3 s after it was last renewed; etcd
looks for such leases twice a second, and deletes what was on them. Then cleo may lead.`)
	renewed, err := d.lastRenewal(ctx, "bob")
	if err != nil {
		return err
	}
	mark, died := d.journal.len(), time.Now()
	d.journal.add(record{who: "bob", Kind: killed, At: died})
	d.bob.kill()
	d.story.caused(died, "bob", "gets SIGKILL, %s after it last renewed its lease", figure(died.Sub(renewed)))
	freed, err := d.journal.await(ctx, mark, etcd, deleted)
	if err != nil {
		return err
	}
	d.story.line(freed.At, etcd, "bob's lease has run out, %s is gone", demoPath)
	began, err := d.journal.await(ctx, mark, "cleo", "select")
	if err != nil {
		return err
	}
	d.story.line(began.At, "cleo", "leads, with token %d", began.Token)
	return nil
}

func (d *demo) cutOff(ctx context.Context) error {
	d.story.act(ctx, "A leader that is cut off",
		`The network between cleo and etcd loses everything; no connection is closed. cleo cannot
know what etcd tells others. So it stops leading by its own clock: 3 s after it last asked
for a renewal that worked, less a fifth for safety. etcd waits 3 s from the renewal itself,
so only later may ada lead.`)
	renewed, err := d.lastRenewal(ctx, "cleo")
	if err != nil {
		return err
	}
	mark, cut := d.journal.len(), time.Now()
	d.wire.cut()
	d.story.caused(cut, "cleo", "is cut off, %s after it last renewed its lease", figure(cut.Sub(renewed)))
	stopped, err := d.journal.await(ctx, mark, "cleo", "deselect")
	if err != nil {
		return err
	}
	d.story.line(stopped.At, "cleo", "does not lead any more: %s", plainCause(stopped))
	began, err := d.journal.await(ctx, mark, "ada", "select")
	if err != nil {
		return err
	}
	d.story.line(began.At, "ada", "leads, with token %d", began.Token)
	safety := began.At.Sub(stopped.At)
	if safety <= 0 {
		return broken("ada led %v before cleo had stopped", -safety)
	}
	d.story.aside("", "Between the two nobody led, for %s: that is the safety.", figure(safety))
	return nil
}

func (d *demo) rejoin(ctx context.Context) error {
	d.story.act(ctx, "They come back",
		`A candidate is one until it is stopped. The network works again: cleo needs no help. bob,
who was killed, is started again.`)
	healed := time.Now()
	d.wire.heal()
	d.story.caused(healed, "cleo", "is connected again")
	if err := d.awaitQueued(ctx, d.cleo); err != nil {
		return err
	}
	if err := d.launch(d.bob); err != nil {
		return err
	}
	return d.awaitQueued(ctx, d.bob)
}

// verdict looks back on the whole.
func (d *demo) verdict(context.Context) error {
	terms := d.journal.terms()
	closest, err := judge(terms)
	if err != nil {
		return err
	}
	if len(terms) != 4 {
		return broken("there were %d terms, and not 4", len(terms))
	}
	d.story.printf("\n%s\n", d.story.paint("1", "All as promised"))
	d.story.say("%d terms, never two at a time: at the closest, %s from the end of one to the next.", len(terms), figure(closest))
	d.story.say("Tokens grew: %s. A store that refuses smaller ones is safe from late writes.", tokens(terms))
	d.story.say("It took %s.", figure(time.Since(d.story.start)))
	return nil
}
