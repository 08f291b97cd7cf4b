package etcd

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func TestEndpoints(t *testing.T) {
	for _, test := range []struct {
		endpoints string
		want      []string
		refused   string
	}{
		{"a:1", []string{"a:1"}, ""},
		{" a:1, https://b:2,,[::1]:3 ,", []string{"a:1", "https://b:2", "[::1]:3"}, ""},
		{"unix:///run/etcd", []string{"unix:///run/etcd"}, ""},
		{"", nil, ""},
		{" ,", nil, " ,"},
		{"a:1,b", nil, "b"},
		{"ftp://a:1", nil, "ftp://a:1"},
		{"a:0", nil, "a:0"},
		{"a:65536", nil, "a:65536"},
		{"unix://", nil, "unix://"},
	} {
		config, err := Config(test.endpoints, time.Second)
		if !slices.Equal(config.Endpoints, test.want) {
			t.Errorf("%q: %q, want %q", test.endpoints, config.Endpoints, test.want)
		}
		var wrong *Refused
		if errors.As(err, &wrong) != (test.want == nil) || wrong != nil && wrong.Value != fmt.Sprintf("%q", test.refused) {
			t.Errorf("%q: error %v", test.endpoints, err)
		}
	}
}
