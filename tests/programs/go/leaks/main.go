// Every other way in which net/http gives bodies out: redirects, error statuses, gzip, Client.Timeout, a bare RoundTripper, proxies,
// upgrades, event streams, gRPC, contexts, and loops.
//
// Usage: leaks MODE BASE-URL [N]. Prints "MODE: G goroutines" a second later; the last line of each mode's request says its name.
package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
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

func finish(resp *http.Response) {
	_, err := io.Copy(io.Discard, resp.Body)
	must(err)
	resp.Body.Close()
}

// The intermediate responses belong to the redirect, the last one is forgotten.
func redirectForgotten(base string, n int) {
	for i := 0; i < n; i++ {
		_, err := http.Get(base + "/redirect?to=/bytes/8192") // redirect-forgotten
		must(err)
	}
}

func redirectClosed(base string, n int) {
	for i := 0; i < n; i++ {
		resp, err := http.Get(base + "/redirect?to=/bytes/8192") // redirect-closed
		must(err)
		finish(resp)
	}
}

// Who does not follow has the redirect's own body to close.
func redirectUnfollowed(base string, n int) {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for i := 0; i < n; i++ {
		_, err := client.Get(base + "/redirect?to=/bytes/8192") // redirect-unfollowed
		must(err)
	}
}

func tell(base string) error {
	resp, err := http.Get(base + "/status/503") // status-forgotten
	must(err)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	defer resp.Body.Close()
	return nil
}

func statusForgotten(base string, n int) {
	for i := 0; i < n; i++ {
		if tell(base) == nil {
			os.Exit(1)
		}
	}
}

// No body, nothing to close.
func bodiless(base string, n int) {
	for i := 0; i < n; i++ {
		_, err := http.Head(base + "/bytes/8192") // bodiless
		must(err)
		_, err = http.Get(base + "/status/204")
		must(err)
		_, err = http.Get(base + "/bytes/0")
		must(err)
	}
}

func gzipForgotten(base string, n int) {
	for i := 0; i < n; i++ {
		_, err := http.Get(base + "/gzip/65536") // gzip-forgotten
		must(err)
	}
}

func gzipRead(base string, n int) {
	for i := 0; i < n; i++ {
		resp, err := http.Get(base + "/gzip/65536") // gzip-read
		must(err)
		_, err = io.Copy(io.Discard, resp.Body)
		must(err)
	}
}

func gzipClosed(base string, n int) {
	for i := 0; i < n; i++ {
		resp, err := http.Get(base + "/gzip/65536") // gzip-closed
		must(err)
		finish(resp)
	}
}

func timeoutForgotten(base string, n int) {
	client := &http.Client{Timeout: 50 * time.Second}
	for i := 0; i < n; i++ {
		_, err := client.Get(base + "/bytes/8192") // timeout-forgotten
		must(err)
	}
}

func timeoutClosed(base string, n int) {
	client := &http.Client{Timeout: 50 * time.Second}
	for i := 0; i < n; i++ {
		resp, err := client.Get(base + "/gzip/8192") // timeout-closed
		must(err)
		finish(resp)
	}
}

// The timeout ends what was forgotten.
func timeoutPast(base string, n int) {
	client := &http.Client{Timeout: 3 * time.Second}
	for i := 0; i < n; i++ {
		_, err := client.Get(base + "/bytes/8192") // timeout-past
		must(err)
	}
	time.Sleep(3 * time.Second)
}

func direct(base string) *http.Response {
	req, err := http.NewRequest(http.MethodGet, base+"/bytes/8192", nil)
	must(err)
	resp, err := http.DefaultTransport.RoundTrip(req) // direct
	must(err)
	return resp
}

func directForgotten(base string, n int) {
	for i := 0; i < n; i++ {
		direct(base) // direct-forgotten
	}
}

func directClosed(base string, n int) {
	for i := 0; i < n; i++ {
		finish(direct(base)) // direct-closed
	}
}

func post(base string, n int) {
	for i := 0; i < n; i++ {
		resp, err := http.Post(base+"/bytes/8192", "text/plain", bytes.NewReader(make([]byte, 100000))) // post
		must(err)
		finish(resp)
	}
}

// TEST_PROXY carries a user and a secret.
func proxied() *http.Client {
	proxy, err := url.Parse(os.Getenv("TEST_PROXY"))
	must(err)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = http.ProxyURL(proxy)
	return &http.Client{Transport: transport}
}

func proxyForgotten(base string, n int) {
	client := proxied()
	for i := 0; i < n; i++ {
		_, err := client.Get(base + "/bytes/8192") // proxy-forgotten
		must(err)
	}
}

func proxyClosed(base string, n int) {
	client := proxied()
	for i := 0; i < n; i++ {
		resp, err := client.Get(base + "/bytes/8192") // proxy-closed
		must(err)
		finish(resp)
	}
}

// A tunnel is no exchange: its stream is used and closed.
func upgrade(base string, n int) {
	for i := 0; i < n; i++ {
		req, err := http.NewRequest(http.MethodGet, base+"/upgrade", nil)
		must(err)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		resp, err := http.DefaultClient.Do(req) // upgrade
		must(err)
		stream := resp.Body.(io.ReadWriteCloser)
		_, err = stream.Write([]byte("hello"))
		must(err)
		_, err = io.ReadFull(stream, make([]byte, 5))
		must(err)
		stream.Close()
	}
}

// Who asked for another protocol and was refused has a body to close.
func upgradeRefused(base string, n int) {
	for i := 0; i < n; i++ {
		req, err := http.NewRequest(http.MethodGet, base+"/bytes/8192", nil)
		must(err)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		_, err = http.DefaultClient.Do(req) // upgrade-refused
		must(err)
	}
}

// Streams have no end to read to; a header of few fields and headers of many.
func events(base string, n int) {
	for i := 0; i < n; i++ {
		_, err := http.Get(fmt.Sprintf("%s/events/100?fields=%d", base, i*i*i)) // events
		must(err)
	}
}

func grpc(base string, n int) {
	for i := 0; i < n; i++ {
		_, err := http.Get(base + "/grpc/100") // grpc
		must(err)
	}
}

type key struct{}

func ask(ctx context.Context, url string) {
	req, err := http.NewRequestWithContext(context.WithValue(ctx, key{}, url), http.MethodGet, url, nil)
	must(err)
	_, err = http.DefaultClient.Do(req) // ask
	must(err)
}

// More than a handful under one context, whose end gives them up.
func contextEnds(base string, n int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	for i := 0; i < n; i++ {
		ask(ctx, base+"/bytes/1000") // context-ends
	}
	time.Sleep(300 * time.Millisecond) // they come whole
	cancel()
}

// An outer context ends, and with it those that were made of it.
func contextOuter(base string, n int) {
	outer, cancel := context.WithCancel(context.Background())
	for i := 0; i < n; i++ {
		ctx, stop := context.WithTimeout(outer, time.Minute)
		defer stop()
		ask(ctx, base+"/bytes/1000") // context-outer
	}
	time.Sleep(300 * time.Millisecond)
	cancel()
}

// Contexts that end after their bodies were closed, and others that never do.
func contextStays(base string, n int) {
	for i := 0; i < n; i++ {
		ctx, cancel := context.WithCancel(context.Background())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/bytes/1000", nil)
		must(err)
		resp, err := http.DefaultClient.Do(req)
		must(err)
		finish(resp)
		cancel()
		ctx, cancel = context.WithCancel(context.Background())
		kept = append(kept, cancel)
		ask(ctx, base+"/bytes/1000") // context-stays
	}
}

var kept []func()

// Read in many small parts, as by a decoder that stops at the end of its value; then the program ends in the same moment.
func partsForgotten(base string, n int) {
	for i := 0; i < n; i++ {
		resp, err := http.Get(base + "/bytes/8192") // parts-forgotten
		must(err)
		for part, read := make([]byte, 100), 0; read < 20; read++ {
			_, err := resp.Body.Read(part)
			must(err)
		}
	}
	os.Exit(0)
}

// The same parts, read by a goroutine that is at it when another one ends the program.
func partsRead(base string, n int) {
	readOn(base, n, 20, time.Millisecond)
}

// Only a few of them, with pauses in between.
func burstsRead(base string, n int) {
	readOn(base, n, 2, 150*time.Millisecond)
}

func readOn(base string, n, until int, pause time.Duration) {
	reading := make(chan bool)
	for i := 0; i < n; i++ {
		go func() {
			resp, err := http.Get(base + "/bytes/262144")
			must(err)
			for part, read := make([]byte, 100), 0; ; read++ {
				_, err := resp.Body.Read(part)
				must(err)
				if read == until {
					reading <- true
				}
				time.Sleep(pause)
			}
		}()
	}
	for i := 0; i < n; i++ {
		<-reading
	}
}

// Requests that fail before there is a response have no body.
func failures(base string, n int) {
	for i := 0; i < n; i++ {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/hang", nil)
		must(err)
		if _, err := http.DefaultClient.Do(req); err == nil { // failures
			os.Exit(1)
		}
		cancel()
		if _, err := http.Get("http://127.0.0.1:1/"); err == nil {
			os.Exit(1)
		}
	}
}

// Until the descriptors run out, then on; N errors are enough.
func endless(base string, n int) {
	for good, bad := 0, 0; bad < n; {
		_, err := http.Get(base + "/bytes/8192") // endless
		if err == nil {
			good++
		} else {
			bad++
			time.Sleep(time.Millisecond)
		}
		if bad == 1 && err != nil {
			fmt.Printf("%d good\n", good)
		}
	}
}

func loop(base string, n int) {
	for i := 0; i < n; i++ {
		resp, err := http.Get(base + "/bytes/100") // loop
		must(err)
		finish(resp)
	}
}

type mode struct {
	run    func(string, int)
	n      int
	linger bool
}

func main() {
	modes := map[string]mode{
		"redirect-forgotten":  {redirectForgotten, 5, false},
		"redirect-closed":     {redirectClosed, 5, false},
		"redirect-unfollowed": {redirectUnfollowed, 5, false},
		"status-forgotten":    {statusForgotten, 5, false},
		"bodiless":            {bodiless, 3, false},
		"gzip-forgotten":      {gzipForgotten, 5, false},
		"gzip-read":           {gzipRead, 5, false},
		"gzip-closed":         {gzipClosed, 5, false},
		"timeout-forgotten":   {timeoutForgotten, 5, false},
		"timeout-closed":      {timeoutClosed, 5, false},
		"timeout-past":        {timeoutPast, 5, false},
		"direct-forgotten":    {directForgotten, 5, false},
		"direct-closed":       {directClosed, 5, false},
		"post":                {post, 5, false},
		"proxy-forgotten":     {proxyForgotten, 5, false},
		"proxy-closed":        {proxyClosed, 5, false},
		"upgrade":             {upgrade, 3, false},
		"upgrade-refused":     {upgradeRefused, 5, false},
		"events":              {events, 5, false},
		"grpc":                {grpc, 5, false},
		"context-ends":        {contextEnds, 20, false},
		"context-outer":       {contextOuter, 5, false},
		"context-stays":       {contextStays, 5, false},
		"failures":            {failures, 3, false},
		"parts-forgotten":     {partsForgotten, 5, false},
		"parts-read":          {partsRead, 5, false},
		"bursts-read":         {burstsRead, 5, false},
		"endless":             {endless, 20, true},
		"loop":                {loop, 100000, false},
	}
	m, known := modes[os.Args[1]]
	if !known {
		fmt.Println("no such mode:", os.Args[1])
		os.Exit(2)
	}
	if len(os.Args) > 3 {
		n, err := strconv.Atoi(os.Args[3])
		must(err)
		m.n = n
	}
	m.run(os.Args[2], m.n)
	if os.Args[1] == "parts-read" || os.Args[1] == "bursts-read" {
		return
	}
	time.Sleep(time.Second)
	fmt.Printf("%s: %d goroutines\n", os.Args[1], runtime.NumGoroutine())
	if m.linger {
		time.Sleep(time.Minute)
	}
}
