// Stress: several workers that send many requests, every fiftieth body closed unread, while the collector runs in a loop, the
// profiler sends its signals and stacks grow and shrink.
//
// Usage: stress URL WORKERS REQUESTS [keep]; URL is the origin's base. Prints "requests R drained D discarded C". With keep: no
// disturbance, a keep-alive loop whose time is printed in ns a request.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

var drained, discarded int64

func must(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// deep makes the stack grow; the next collection may make it shrink.
func deep(n int) int {
	var room [256]byte
	room[n%len(room)] = byte(n)
	if n == 0 {
		return int(room[0])
	}
	return deep(n-1) + int(room[n%len(room)])
}

func get(client *http.Client, url string, read bool) {
	resp, err := client.Get(url)
	must(err)
	if read {
		_, err = io.Copy(io.Discard, resp.Body)
		must(err)
		atomic.AddInt64(&drained, 1)
	} else {
		atomic.AddInt64(&discarded, 1)
	}
	resp.Body.Close()
}

func work(client *http.Client, base string, worker, requests int) {
	for i := 0; i < requests; i++ {
		if (i+worker)%50 == 49 {
			// More than Close drains by itself (256 KiB since 1.27).
			get(client, base+"/bytes/2000000", false)
		} else {
			get(client, base+"/bytes/100", true)
		}
		if i%100 == 0 {
			done := make(chan int)
			go func() { done <- deep(50 + i%1000) }() // a stack that starts small
			<-done
		}
	}
}

func keep(client *http.Client, base string, requests int) {
	get(client, base+"/bytes/100", true)
	start := time.Now()
	for i := 0; i < requests; i++ {
		get(client, base+"/bytes/100", true)
	}
	fmt.Println(time.Since(start).Nanoseconds() / int64(requests))
}

// Where the profile goes: nowhere, or the file that PROFILE names.
func profile() io.Writer {
	if os.Getenv("PROFILE") == "" {
		return io.Discard
	}
	file, err := os.Create(os.Getenv("PROFILE"))
	must(err)
	return file
}

func main() {
	base := os.Args[1]
	workers, err := strconv.Atoi(os.Args[2])
	must(err)
	requests, err := strconv.Atoi(os.Args[3])
	must(err)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = workers
	client := &http.Client{Transport: transport}
	if len(os.Args) > 4 {
		keep(client, base, requests)
		return
	}
	must(pprof.StartCPUProfile(profile()))
	stop := make(chan bool)
	go func() {
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
				time.Sleep(time.Millisecond)
			}
		}
	}()
	var group sync.WaitGroup
	for w := 0; w < workers; w++ {
		group.Add(1)
		go func(w int) {
			defer group.Done()
			work(client, base, w, requests)
		}(w)
	}
	group.Wait()
	close(stop)
	pprof.StopCPUProfile()
	fmt.Printf("requests %d drained %d discarded %d\n", workers*requests, drained, discarded)
}
