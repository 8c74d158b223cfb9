package check

import "fmt"

// maxFindings bounds what is reported: the first ones tell, and a broken run may have millions.
const maxFindings = 50

// report collects what was wrong.
type report struct {
	list []string
	more int
}

func (r *report) add(format string, args ...any) {
	if len(r.list) == maxFindings {
		r.more++
		return
	}
	r.list = append(r.list, fmt.Sprintf(format, args...))
}

func (r *report) done() []string {
	if r.more > 0 {
		return append(r.list[:len(r.list):len(r.list)], fmt.Sprintf("and %d more", r.more))
	}
	return r.list
}
