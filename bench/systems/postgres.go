package systems

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

var postgresStore = &Store{Name: "PostgreSQL", Env: "BENCH_POSTGRES", Floor: postgresFloorAt}

const aConnectionEach = "a waiting candidate holds a connection, and a server process, of its own"

var postgresLock = &System{
	Name: "PostgreSQL advisory lock", Store: "PostgreSQL", Dial: dialPostgres,
	Unfit: map[string]string{
		"observers": noObservers, "scale": aConnectionEach, "crowd": aConnectionEach, "many": aConnectionEach,
		"silence": "a silent connection keeps the lock until TCP gives it up: two hours by default",
	},
}

// postgresClient connects anew for each candidate: the lock belongs to a connection, and waiting for it blocks that.
type postgresClient struct {
	without
	endpoint string
	idle     chan *pgx.Conn
}

func connectPostgres(ctx context.Context, endpoint string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, "postgres://postgres@"+endpoint+"/postgres?sslmode=disable")
}

func dialPostgres(ctx context.Context, endpoint string, _ time.Duration) (Client, error) {
	conn, err := connectPostgres(ctx, endpoint)
	if err != nil {
		return nil, err
	}
	c := postgresClient{endpoint: endpoint, idle: make(chan *pgx.Conn, 64)}
	c.idle <- conn
	return c, nil
}

func (c postgresClient) Candidate(path, _ string) (Candidate, error) {
	return &postgresCandidate{client: c, path: path}, nil
}

func (c postgresClient) Close() error {
	for {
		select {
		case conn := <-c.idle:
			conn.Close(context.Background())
		default:
			return nil
		}
	}
}

type postgresCandidate struct {
	client postgresClient
	path   string
	conn   *pgx.Conn
}

func (c *postgresCandidate) Campaign(ctx context.Context) (err error) {
	select {
	case c.conn = <-c.client.idle:
	default:
		if c.conn, err = connectPostgres(ctx, c.client.endpoint); err != nil {
			return err
		}
	}
	_, err = c.conn.Exec(ctx, "select pg_advisory_lock(hashtextextended($1, 0))", c.path)
	return err
}

func (c *postgresCandidate) Resign(ctx context.Context) error {
	_, err := c.conn.Exec(ctx, "select pg_advisory_unlock(hashtextextended($1, 0))", c.path)
	select {
	case c.client.idle <- c.conn:
	default:
		c.conn.Close(ctx)
	}
	return err
}

type postgresFloor struct {
	write, listen *pgx.Conn
	n             int
}

func postgresFloorAt(ctx context.Context, endpoint string) (_ Floor, err error) {
	f := &postgresFloor{}
	if f.write, err = connectPostgres(ctx, endpoint); err != nil {
		return nil, err
	}
	if f.listen, err = connectPostgres(ctx, endpoint); err != nil {
		return nil, err
	}
	if _, err = f.write.Exec(ctx, "create table if not exists floor (n int)"); err != nil {
		return nil, err
	}
	if _, err = f.write.Exec(ctx, "insert into floor values (0)"); err != nil {
		return nil, err
	}
	_, err = f.listen.Exec(ctx, "listen floor")
	return f, err
}

// Put is one statement that updates a row and tells those who listen.
func (f *postgresFloor) Put(ctx context.Context) error {
	f.n++
	_, err := f.write.Exec(ctx, "with u as (update floor set n = $1 returning n) select pg_notify('floor', n::text) from u", f.n)
	return err
}

func (f *postgresFloor) Hear(ctx context.Context) error {
	for {
		n, err := f.listen.WaitForNotification(ctx)
		if err != nil || n.Payload == strconv.Itoa(f.n) {
			return err
		}
	}
}

func (f *postgresFloor) Close() error {
	f.listen.Close(context.Background())
	return f.write.Close(context.Background())
}
