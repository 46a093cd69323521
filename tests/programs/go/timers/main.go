// Timers: a select loop that makes a new one each round, against one that is reset.
//
// Usage: timers MODE N [URL]; the modes are after, reset, timer (NewTimer, never stopped), stopped (NewTimer, stopped), ticker
// (NewTicker, never stopped), func (AfterFunc, never stopped), context (WithTimeout, never cancelled), cancelled (WithTimeout,
// cancelled), fired (a timer that fires for each round, from several goroutines). With a URL it does one exchange first. Prints the goroutines and the heap.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
)

func after(work chan int, n int) {
	for i := 0; i < n; i++ {
		select {
		case <-work:
		case <-time.After(time.Minute): // after
			fmt.Println("nothing to do")
		}
	}
}

func reset(work chan int, n int) {
	timer := time.NewTimer(time.Minute) // reset
	defer timer.Stop()
	for i := 0; i < n; i++ {
		if !timer.Stop() {
			select {
			case <-timer.C:
			default:
			}
		}
		timer.Reset(time.Minute)
		select {
		case <-work:
		case <-timer.C:
			fmt.Println("nothing to do")
		}
	}
}

func newTimer(work chan int, n int) {
	for i := 0; i < n; i++ {
		timer := time.NewTimer(time.Minute) // timer
		select {
		case <-work:
		case <-timer.C:
		}
	}
}

func stopped(work chan int, n int) {
	for i := 0; i < n; i++ {
		timer := time.NewTimer(time.Minute) // stopped
		select {
		case <-work:
		case <-timer.C:
		}
		timer.Stop()
	}
}

var tickers []*time.Ticker

func ticker(work chan int, n int) {
	for i := 0; i < n; i++ {
		tickers = append(tickers, time.NewTicker(time.Minute)) // ticker
		<-work
	}
}

func afterFunc(work chan int, n int) {
	for i := 0; i < n; i++ {
		time.AfterFunc(time.Minute, func() {}) // func
		<-work
	}
}

func timeout(work chan int, n int) {
	for i := 0; i < n; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // context
		select {
		case <-work:
		case <-ctx.Done():
			cancel()
		}
	}
}

func cancelled(work chan int, n int) {
	for i := 0; i < n; i++ {
		_, cancel := context.WithTimeout(context.Background(), time.Minute) // cancelled
		<-work
		cancel()
	}
}

func fired(work chan int, n int) {
	var group sync.WaitGroup
	for g := 0; g < 8; g++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for range work {
				group.Add(1)
				time.AfterFunc(50*time.Microsecond, group.Done) // fired
			}
		}()
	}
	group.Wait()
}

func main() {
	modes := map[string]func(chan int, int){
		"after": after, "reset": reset, "timer": newTimer, "stopped": stopped, "ticker": ticker, "func": afterFunc,
		"context": timeout, "cancelled": cancelled, "fired": fired,
	}
	n, err := strconv.Atoi(os.Args[2])
	run := modes[os.Args[1]]
	if err != nil || run == nil {
		fmt.Println("usage: timers MODE N [URL]")
		os.Exit(2)
	}
	if len(os.Args) > 3 {
		resp, err := http.Get(os.Args[3])
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	work := make(chan int)
	go func() {
		for i := 0; i < n; i++ {
			work <- i
		}
		close(work)
	}()
	run(work, n)
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	fmt.Printf("%s: %d rounds, %d KiB\n", os.Args[1], n, memory.HeapAlloc/1024)
}
