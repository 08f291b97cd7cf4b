package election

import (
	"strconv"
	"strings"
)

// Separator stands between id and value in a candidate's data, and between PATH and the parts of its other keys.
const Separator = ":::"

// Part names one of the keys of an election.
type Part uint8

// The parts of an election.
const (
	PartPath     Part = iota // PATH itself
	PartTerm                 // PATH:::term/NONCE
	PartQueue                // PATH:::queue/NONCE
	PartTransfer             // PATH:::transfer
	PartUnknown              // something else under PATH:::
)

// Join gives the data string of a candidate: id, separator, value.
func Join(id, value string) string { return id + Separator + value }

// Split is the reverse of [Join]. ok is false when data has no separator, so was not written by a candidate.
// It relies on ids that neither contain the separator nor end in a colon; the value may be anything.
func Split(data string) (id, value string, ok bool) { return strings.Cut(data, Separator) }

// Prefix is what all keys of the election but PATH begin with.
func Prefix(path string) string { return path + Separator }

// TermPrefix is what the term key of the election begins with.
func TermPrefix(path string) string { return path + Separator + "term/" }

// QueuePrefix is what the queue keys of the election begin with.
func QueuePrefix(path string) string { return path + Separator + "queue/" }

// TransferKey is the key of the election's transfer request.
func TransferKey(path string) string { return path + Separator + "transfer" }

// ProofKey is a key of the election that nobody ever puts: to delete it is an entry that a quorum must commit, and that changes
// nothing.
func ProofKey(path string) string { return path + Separator + "proof" }

// ParseKey tells which election a key belongs to and which part of it the key is. It relies on paths that neither contain
// the separator nor end in a colon.
func ParseKey(key string) (path string, part Part, nonce string) {
	path, rest, found := strings.Cut(key, Separator)
	if !found {
		return key, PartPath, ""
	}
	if nonce, ok := strings.CutPrefix(rest, "term/"); ok {
		return path, PartTerm, nonce
	}
	if nonce, ok := strings.CutPrefix(rest, "queue/"); ok {
		return path, PartQueue, nonce
	}
	if rest == "transfer" {
		return path, PartTransfer, ""
	}
	return path, PartUnknown, ""
}

// TransferData gives the value of a transfer request addressed to the term with that token. An empty id asks for the
// next in line.
func TransferData(token int64, id string) string {
	return strconv.FormatInt(token, 10) + Separator + id
}

// ParseTransfer is the reverse of [TransferData].
func ParseTransfer(data string) (token int64, id string, ok bool) {
	number, id, ok := strings.Cut(data, Separator)
	if !ok {
		return 0, "", false
	}
	token, err := strconv.ParseInt(number, 10, 64)
	return token, id, err == nil
}
