package election

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// The core is a function: it does no I/O, reads no clock, draws no random number and starts no goroutine. It is made of the
// few packages below and of itself.
var allowed = map[string]bool{"cmp": true, "slices": true, "strconv": true, "strings": true, "time": true}

func TestCoreIsPure(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, name := range names {
		if !strings.HasSuffix(name, "_test.go") {
			looked++
			lookAt(t, name)
		}
	}
	if looked < 5 {
		t.Errorf("only %d files were looked at", looked)
	}
}

// lookAt complains about what a source file uses or keeps.
func lookAt(t *testing.T, name string) {
	files := token.NewFileSet()
	f, err := parser.ParseFile(files, name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, imp := range f.Imports {
		if path, _ := strconv.Unquote(imp.Path.Value); !allowed[path] {
			t.Errorf("%s imports %s", files.Position(imp.Pos()), path)
		}
	}
	for _, d := range f.Decls {
		if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR && !table(g) {
			t.Errorf("%s: a variable of the package", files.Position(g.Pos()))
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		if what := impure(n); what != "" {
			t.Errorf("%s: %s", files.Position(n.Pos()), what)
		}
		return true
	})
}

// impure names what a function of its inputs has no use for.
func impure(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "starts a goroutine"
	case *ast.ChanType, *ast.SelectStmt, *ast.SendStmt:
		return "uses a channel"
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && n.Sel.Name != "Duration" {
			return "uses time." + n.Sel.Name
		}
	}
	return ""
}

// table reports whether a package variable is an array of constants, as names are kept in.
func table(g *ast.GenDecl) bool {
	v, _ := g.Specs[0].(*ast.ValueSpec)
	if len(g.Specs) != 1 || len(v.Values) != 1 {
		return false
	}
	lit, ok := v.Values[0].(*ast.CompositeLit)
	if !ok {
		return false
	}
	array, ok := lit.Type.(*ast.ArrayType)
	return ok && array.Len != nil
}
