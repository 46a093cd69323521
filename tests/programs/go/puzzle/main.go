// The puzzle: five GETs in a row, their bodies treated in one way, and what runtime.NumGoroutine says a second later.
//
// Usage: puzzle URL CASE [LINGER-SECONDS]; the cases are neither, closed, read, both, six, transports, cancelled, and
// all: the first four one after the other in this one process.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"time"
)

func must(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// fetch is inlined where it is called.
func fetch(url string) (*http.Response, error) {
	return http.Get(url) // fetch
}

func neither(url string, n int) {
	for i := 0; i < n; i++ {
		_, err := fetch(url) // neither
		must(err)
	}
}

func closed(url string, n int) {
	for i := 0; i < n; i++ {
		resp, err := http.Get(url) // closed
		must(err)
		resp.Body.Close()
	}
}

func read(url string, n int) {
	for i := 0; i < n; i++ {
		resp, err := http.Get(url) // read
		must(err)
		_, err = io.Copy(io.Discard, resp.Body)
		must(err)
	}
}

func both(url string, n int) {
	for i := 0; i < n; i++ {
		resp, err := http.Get(url) // both
		must(err)
		_, err = io.Copy(io.Discard, resp.Body)
		must(err)
		resp.Body.Close()
	}
}

func transports(url string, n int) {
	for i := 0; i < n; i++ {
		client := &http.Client{Transport: &http.Transport{}}
		resp, err := client.Get(url) // transports
		must(err)
		_, err = io.Copy(io.Discard, resp.Body)
		must(err)
		resp.Body.Close()
	}
}

func cancelled(url string, n int) {
	for i := 0; i < n; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		must(err)
		_, err = http.DefaultClient.Do(req) // cancelled
		must(err)
		cancel()
	}
}

type way struct {
	name string
	run  func(string, int)
	n    int
}

func main() {
	ways := []way{
		{"neither", neither, 5}, {"closed", closed, 5}, {"read", read, 5}, {"both", both, 5},
		{"six", read, 6}, {"transports", transports, 5}, {"cancelled", cancelled, 5},
	}
	found := false
	for i, w := range ways {
		if os.Args[2] == w.name || os.Args[2] == "all" && i < 4 {
			found = true
			w.run(os.Args[1], w.n)
			time.Sleep(time.Second)
			fmt.Printf("%s: %d goroutines\n", w.name, runtime.NumGoroutine())
		}
	}
	if !found {
		fmt.Println("no such case:", os.Args[2])
		os.Exit(2)
	}
	if len(os.Args) > 3 {
		seconds, _ := strconv.Atoi(os.Args[3])
		time.Sleep(time.Duration(seconds) * time.Second)
	}
}
