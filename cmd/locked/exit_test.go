package main

import (
	"fmt"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// What etcd answers has the code of its kind: 77 is for who asks, and not for what is asked.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		answer error // as gRPC has it
		code   int
		says   string
	}{
		{rpctypes.ErrGRPCPermissionDenied, exitRefused, "permission denied"},
		{rpctypes.ErrGRPCAuthFailed, exitRefused, "--password"},
		{rpctypes.ErrGRPCUserEmpty, exitRefused, "--user"},
		{rpctypes.ErrGRPCInvalidAuthToken, exitRefused, "auth token"},
		{rpctypes.ErrGRPCRequestTooLarge, exitUsage, "--max-request-bytes"},
		{rpctypes.ErrGRPCNotSupportedForLearner, exitUnreachable, "--endpoints"},
		{rpctypes.ErrGRPCLeaseNotFound, exitUnreachable, "--ttl"},
		{rpctypes.ErrGRPCNoSpace, exitFailed, "space exceeded"},
		{rpctypes.ErrGRPCCompacted, exitFailed, "compacted"},
	} {
		err := newConnection().explain(fmt.Errorf("locked: get a lease /x: %w", rpctypes.Error(test.answer)))
		if got := exitCode(err); got != test.code || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%v ends with %d, want %d with %q: %v", test.answer, got, test.code, test.says, err)
		}
	}
}
