package main

import "testing"

func TestEntries(t *testing.T) {
	const text = `File: millrace
Type: cpu
Duration: 10s, Total samples = 9.5s (95%)
Showing nodes accounting for 9s, 94.7% of 9.5s total
      flat  flat%   sum%        cum   cum%
     5.10s 53.68% 53.68%      5.20s 54.74%  internal/runtime/syscall.Syscall6
         0     0% 53.68%      1.50s 15.79%  github.com/x/y.(*T).Do (inline)
`
	got := entries(text)
	want := []entry{
		{"5.10s", 53.68, 54.74, "internal/runtime/syscall.Syscall6"},
		{"0", 0, 15.79, "github.com/x/y.(*T).Do (inline)"},
	}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %+v", got)
	}
}

func TestPackageOf(t *testing.T) {
	for in, want := range map[string]string{
		"github.com/millrace-mq/millrace/internal/netpoll.(*Loop).run": "internal/netpoll",
		"runtime.memmove":     "runtime",
		"github.com/x/y.v2.F": "github.com/x/y",
		"github.com/x/y.find[go.shape.struct { a/b.C }]": "github.com/x/y",
		"noPackage": "noPackage",
	} {
		if got := packageOf(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
