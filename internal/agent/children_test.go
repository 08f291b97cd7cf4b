package agent

// childMark makes the test's program another one, that a test needs as a process.
const childMark = "AGENT_TEST_CHILD"

var children = map[string]func(){}
