package config

import (
	_ "embed"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"strings"
	"sync"
	"time"
)

//go:embed schema.go
var schemaSource string

// schemaDocs reads the field comments of schema.go, by type and field name. They are one line each, wrapping removed.
var schemaDocs = sync.OnceValue(func() map[string]string {
	file, err := parser.ParseFile(token.NewFileSet(), "schema.go", schemaSource, parser.ParseComments)
	if err != nil {
		panic(err) // it was compiled from this very text
	}
	docs := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok {
			return true
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, f := range s.Fields.List {
				docs[spec.Name.Name+"."+f.Names[0].Name] = strings.Join(strings.Fields(f.Doc.Text()), " ")
			}
		}
		return true
	})
	return docs
})

// A field is one setting, or one section, of a struct of the schema.
type field struct {
	key   string
	value reflect.Value
	tag   reflect.StructTag
	doc   string
}

// fields lists what a struct of the schema has, in the order of the source.
func fields(v reflect.Value) []field {
	t := v.Type()
	all := make([]field, t.NumField())
	for i := range all {
		f := t.Field(i)
		all[i] = field{f.Tag.Get("yaml"), v.Field(i), f.Tag, schemaDocs()[t.Name()+"."+f.Name]}
	}
	return all
}

func keys(v reflect.Value) []string {
	var all []string
	for _, f := range fields(v) {
		all = append(all, f.key)
	}
	return all
}

var (
	typeDuration = reflect.TypeFor[time.Duration]()
	typeSize     = reflect.TypeFor[Size]()
)

// accepted says in words what a setting takes.
func (f field) accepted() string {
	if one := f.tag.Get("one"); one != "" {
		return strings.Join(strings.Split(one, "|"), ", ")
	}
	least, most := f.tag.Get("min"), f.tag.Get("max")
	switch {
	case f.value.Type() == typeDuration:
		return "duration, " + least + " to " + most
	case f.value.Type() == typeSize:
		return "size, " + least + " to " + most
	}
	switch f.value.Kind() {
	case reflect.Bool:
		return "true, false"
	case reflect.Int:
		return least + " to " + most
	case reflect.Slice:
		return "list of text"
	}
	return "text"
}

// assign sets a setting from its text.
func assign(v reflect.Value, text string) error {
	switch v.Type() {
	case typeDuration:
		d, err := parseDuration(text)
		if err == nil {
			v.SetInt(int64(d))
		}
		return err
	case typeSize:
		s, err := ParseSize(text)
		if err == nil {
			v.SetInt(int64(s))
		}
		return err
	}
	switch v.Kind() {
	case reflect.Bool:
		if text != "true" && text != "false" {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		v.SetBool(text == "true")
	case reflect.Int:
		n, err := parseInt(text)
		if err != nil {
			return fmt.Errorf("%q is no whole number", text)
		}
		v.SetInt(n)
	case reflect.String:
		v.SetString(text)
	case reflect.Slice:
		var list []string
		for item := range strings.SplitSeq(strings.Trim(text, "[]"), ",") {
			if item = strings.TrimSpace(item); item != "" {
				list = append(list, item)
			}
		}
		v.Set(reflect.ValueOf(list))
	default:
		return fmt.Errorf("this is a section, not a setting")
	}
	return nil
}

// format writes a setting as assign reads it.
func format(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return FormatDuration(x)
	case Size:
		return x.String()
	case []string:
		return "[" + strings.Join(x, ", ") + "]"
	}
	return fmt.Sprint(v.Interface())
}

// outOfBounds says what is wrong with a setting's value, or nothing.
func (f field) outOfBounds() string {
	if one := f.tag.Get("one"); one != "" {
		for word := range strings.SplitSeq(one, "|") {
			if word == f.value.String() {
				return ""
			}
		}
		nearest := ""
		if near := nearestOf(f.value.String(), strings.Split(one, "|")); near != "" {
			nearest = "; nearest: " + near
		}
		return fmt.Sprintf("%q is not accepted, only %s%s", f.value.String(), f.accepted(), nearest)
	}
	if f.value.CanInt() && f.tag.Get("max") != "" {
		least, most := reflect.New(f.value.Type()).Elem(), reflect.New(f.value.Type()).Elem()
		if err := assign(least, f.tag.Get("min")); err != nil {
			panic(f.key + ": " + err.Error())
		}
		if err := assign(most, f.tag.Get("max")); err != nil {
			panic(f.key + ": " + err.Error())
		}
		if n := f.value.Int(); n < least.Int() || n > most.Int() {
			return fmt.Sprintf("%s is out of range: accepted is %s to %s", format(f.value), f.tag.Get("min"), f.tag.Get("max"))
		}
	}
	return ""
}
