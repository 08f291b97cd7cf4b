package locked

import (
	"fmt"
	"reflect"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// namespaceOf gives the prefix that a client of clientv3/namespace puts before every key. The locker speaks to etcd below the
// client's Watcher, KV and Lease, and must put it there itself; the package keeps it in a field that can be read but is not
// exported. A client with the prefix on one of Watcher and KV alone is refused: its nodes would compete for one key, and
// [Term.Txn] and [Locker.Leader] look at another. What a client's Lease shows does not matter here.
func namespaceOf(client *clientv3.Client) (string, error) {
	prefix, err := prefixOf("Watcher", client.Watcher, clientv3.NewWatcher(client))
	if err != nil {
		return "", err
	}
	other, err := prefixOf("KV", client.KV, clientv3.NewKV(client))
	if err != nil {
		return "", err
	}
	if other != prefix {
		return "", &ConfigError{
			"client", fmt.Sprintf("with the prefix %q on its Watcher and %q on its KV", prefix, other),
			"its KV, Lease and Watcher must have the same namespace",
		}
	}
	return prefix, nil
}

// prefixOf takes the wrappers of clientv3/namespace from a part of a client, one after the other, until it is plain.
func prefixOf(name string, part, plain any) (prefix string, err error) {
	for reflect.TypeOf(part) != reflect.TypeOf(plain) {
		v := reflect.Indirect(reflect.ValueOf(part))
		known := v.Kind() == reflect.Struct && v.Type().PkgPath() == "go.etcd.io/etcd/client/v3/namespace" &&
			v.FieldByName("pfx").Kind() == reflect.String && v.FieldByName(name).Kind() == reflect.Interface
		if !known {
			return "", &ConfigError{
				"client", fmt.Sprintf("with a %T for its %s", part, name),
				"must be as clientv3.New gives it, or have the wrappers of clientv3/namespace",
			}
		}
		prefix = v.FieldByName("pfx").String() + prefix
		part = v.FieldByName(name).Interface()
	}
	return prefix, nil
}
