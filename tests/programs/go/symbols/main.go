// Prints its own stack as the runtime sees it: each line is the pc's address in the file, function, file, line.
package main

import (
	"debug/elf"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

type client struct{ name string }

type fetcher interface{ fetch(depth int) int }

func (c *client) fetch(depth int) int { return inlinedOuter(depth) }

func inlinedOuter(depth int) int { return inlinedInner(depth) + 1 }

func inlinedInner(depth int) int { return show(depth) + 1 }

func generic[T any](values []T, each func(T) int) (sum int) {
	for _, value := range values {
		sum += each(value)
	}
	return
}

//go:noinline
func show(depth int) int {
	pcs := make([]uintptr, 64)
	n := runtime.Callers(1, pcs)
	frames := runtime.CallersFrames(pcs[:n])
	var out strings.Builder
	for i := 0; ; i++ {
		frame, more := frames.Next()
		fmt.Fprintf(&out, "%x\t%s\t%s\t%d\n", pcs[i]-base(), frame.Function, frame.File, frame.Line)
		if !more {
			break
		}
	}
	os.Stdout.WriteString(out.String())
	return depth
}

// What was added to the addresses of a position independent program; 0 for others.
func base() uintptr {
	program, _ := elf.Open("/proc/self/exe")
	if program.Type != elf.ET_DYN {
		return 0
	}
	maps, _ := os.ReadFile("/proc/self/maps")
	path, _ := os.Readlink("/proc/self/exe")
	before := string(maps)[:strings.Index(string(maps), path)]
	start, _ := strconv.ParseUint(strings.SplitN(before[strings.LastIndex(before, "\n")+1:], "-", 2)[0], 16, 64)
	for _, segment := range program.Progs {
		if segment.Type == elf.PT_LOAD {
			return uintptr(start - segment.Vaddr)
		}
	}
	return 0
}

func main() {
	var f fetcher = &client{"a"}
	sum := generic([]int{1}, func(value int) int {
		defer func() { _ = recover() }()
		return func() int { return f.fetch(value) }()
	})
	sum += generic([]string{"x"}, func(value string) int { return inlinedOuter(len(value)) })
	done := make(chan int)
	go func() { done <- inlinedOuter(3) }()
	os.Exit((sum + <-done) & 0)
}
