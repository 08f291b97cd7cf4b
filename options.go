package locked

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"
)

// Defaults of a [Locker].
const (
	// DefaultTTL is the TTL of nodes that name none.
	DefaultTTL = 10 * time.Second
	// DefaultRequestTimeout bounds one request to etcd.
	DefaultRequestTimeout = 5 * time.Second
)

// Option sets something of a [Locker].
type Option func(*options) error

type options struct {
	tls            *tls.Config
	user, password string
	log            *slog.Logger // nil for silence
	ttl            time.Duration
	timeout        time.Duration
	namespace      string
}

func newOptions(opts []Option) (options, error) {
	o := options{ttl: DefaultTTL, timeout: DefaultRequestTimeout}
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return o, err
		}
	}
	return o, nil
}

// WithTLS makes [New] connect with TLS. [NewFromClient] refuses it: the client that it is given has its own.
func WithTLS(config *tls.Config) Option {
	return func(o *options) error {
		o.tls = config
		return nil
	}
}

// WithAuth makes [New] connect as an etcd user. [NewFromClient] refuses it: the client that it is given has its own.
func WithAuth(user, password string) Option {
	return func(o *options) error {
		if user == "" {
			return &ConfigError{"WithAuth user", `""`, "a user name is required"}
		}
		if password == "" { // clientv3 would connect as nobody
			return &ConfigError{"WithAuth password", `""`, "a password is required"}
		}
		o.user, o.password = user, password
		return nil
	}
}

// WithNamespace puts every key of the locker's below a prefix, as [go.etcd.io/etcd/client/v3/namespace] does: nodes compete with
// those of lockers with the same one, and their paths, and the keys of [Term.Txn], are told without it. [Term.Guard] is for
// transactions of a client with the same namespace.
func WithNamespace(prefix string) Option {
	return func(o *options) error {
		if err := checkName("WithNamespace", prefix, MaxPathSize); err != nil {
			return err
		}
		o.namespace = prefix
		return nil
	}
}

// WithLogger makes the locker tell what it does. By default it is silent. Of an etcd that does not answer it tells when that begins,
// once a minute, and when it is over; the single requests that fail are told at the level of debugging. The handler runs in a goroutine of its own: one that
// blocks holds nothing up, and loses the records that come meanwhile, which [Stats].DroppedRecords counts. [Locker.Close] waits
// for what is under way up to a second.
func WithLogger(log *slog.Logger) Option {
	return func(o *options) error {
		if log == nil {
			return &ConfigError{"WithLogger", "nil", "a logger is required; leave the option out for silence"}
		}
		o.log = log
		return nil
	}
}

// WithTTL sets the TTL of nodes that name none, by default [DefaultTTL]: from [MinTTL] to [MaxTTL], rounded up to whole
// seconds.
func WithTTL(ttl time.Duration) Option {
	return func(o *options) (err error) {
		o.ttl, err = checkTTL("WithTTL", ttl)
		return err
	}
}

// WithRequestTimeout bounds each request to etcd, by default [DefaultRequestTimeout]: from 100ms to a minute.
func WithRequestTimeout(d time.Duration) Option {
	return func(o *options) error {
		if d < 100*time.Millisecond || d > time.Minute {
			return &ConfigError{"WithRequestTimeout", fmt.Sprint(d), "must be from 100ms to 1m"}
		}
		o.timeout = d
		return nil
	}
}
