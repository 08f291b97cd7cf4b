package test

import (
	"reflect"
	"strings"
	"unsafe"
)

// look gives a field that is not exported, of a field and so on, of what a pointer points to. What belongs to a locker's loop
// is looked at there: see testhook.Hooks.
func look(v any, fields ...string) reflect.Value {
	x := reflect.ValueOf(v)
	for _, f := range fields {
		x = reflect.Indirect(x).FieldByName(f)
		x = reflect.NewAt(x.Type(), unsafe.Pointer(x.UnsafeAddr())).Elem()
	}
	return x
}

// sizes counts what the maps, lists and queues below a pointer hold, by the names of the fields that lead there.
func sizes(v any) map[string]int {
	s := sizer{sum: map[string]int{}, seen: map[unsafe.Pointer]bool{}}
	s.add("", reflect.ValueOf(v))
	return s.sum
}

type sizer struct {
	sum  map[string]int
	seen map[unsafe.Pointer]bool
}

// ours is where a sizer goes: what belongs to a locker, and not to its etcd client.
const ours = "github.com/samcday/locked"

func (s *sizer) add(name string, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() || s.seen[v.UnsafePointer()] || !strings.HasPrefix(v.Type().Elem().PkgPath(), ours) && v.Type().Elem().Kind() == reflect.Struct {
			return
		}
		s.seen[v.UnsafePointer()] = true
		s.add(name, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			s.add(name+"."+v.Type().Field(i).Name, v.Field(i))
		}
	case reflect.Map:
		s.sum[name] += v.Len()
		for it := v.MapRange(); it.Next(); {
			s.add(name, it.Key())
			s.add(name, it.Value())
		}
	case reflect.Slice:
		s.sum[name] += v.Len()
		for i := range v.Len() {
			s.add(name, v.Index(i))
		}
	case reflect.Chan:
		s.sum[name] += v.Len()
	}
}
