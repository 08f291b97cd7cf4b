package locked

import (
	"fmt"
	"reflect"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// namespaceOf gives the prefix that a client of clientv3/namespace puts before every key. The locker speaks the watch
// protocol itself, below the client's Watcher, and must put it there too; the package keeps it in a field that can be read
// but is not exported.
func namespaceOf(client *clientv3.Client) (string, error) {
	plain := reflect.TypeOf(clientv3.NewWatcher(client))
	prefix := ""
	for w := client.Watcher; reflect.TypeOf(w) != plain; {
		v := reflect.Indirect(reflect.ValueOf(w))
		known := v.Kind() == reflect.Struct && v.Type().PkgPath() == "go.etcd.io/etcd/client/v3/namespace" &&
			v.FieldByName("pfx").Kind() == reflect.String && v.FieldByName("Watcher").Kind() == reflect.Interface
		if !known {
			return "", &ConfigError{
				"client", fmt.Sprintf("with a %T for its Watcher", w),
				"must be as clientv3.New gives it, or have the wrappers of clientv3/namespace",
			}
		}
		prefix = v.FieldByName("pfx").String() + prefix
		w = v.FieldByName("Watcher").Interface().(clientv3.Watcher)
	}
	return prefix, nil
}
