package main

import "testing"

// What has failed is named, though it be a part of a test, and though it never ended.
func TestSummary(t *testing.T) {
	for output, want := range map[string]string{
		"=== RUN   TestA\n--- PASS: TestA (0.00s)\n--- SKIP: TestB (0.00s)\nPASS\n":                                                                        "1 passed, 1 skipped",
		"--- FAIL: TestA (0.01s)\n    --- PASS: TestA/x (0.00s)\n    --- FAIL: TestA/y (0.00s)\n    --- FAIL: TestA/y2 (0.00s)\n--- FAIL: TestB (1.00s)\n": "FAILED: TestA/y, TestA/y2, TestB; 0 passed, 0 skipped",
		"--- PASS: TestA (0.01s)\npanic: test timed out after 1s\n\trunning tests:\n\t\tTestB (1s)\n":                                                      "FAILED: TestB (hangs); 1 passed, 0 skipped",
	} {
		if got := summary([]byte(output)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
