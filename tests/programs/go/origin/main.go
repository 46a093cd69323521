// The origin of the Go tests: http, https with ALPN pinned to HTTP/1.1, HTTP/2 over TLS, an http port that gives idle connections
// up at once, and a proxy, on loopback ports of its own choice; it counts what it did.
//
// Usage: origin CERTIFICATE KEY. Prints one JSON line with the ports {http, https, h2, impatient, proxy, control} and serves until
// its standard input ends. The control port answers /stats with {PORT: {accepts, open, responses}} and /clear with the same, after which
// the counts start anew: accepts are connections, open those of them that stand now, a response counts when it was written whole.
//
//	/bytes/N        N bytes with Content-Length
//	/chunked/N      N bytes, chunked
//	/gzip/N         N bytes, compressed if the client asked for it
//	/slow/N?ms=M    N bytes, 1 KiB each M ms
//	/hang           never answers
//	/redirect?to=P  302 to P, with a body of 1 KiB
//	/status/CODE    that status, with a body of 8 KiB where it may have one
//	/upgrade        101 and then an echo
//	/events/N?fields=F   an event stream without an end: N bytes come, after F fields that mean nothing
//	/grpc/N         N bytes as gRPC has them
package main

import (
	"bufio"
	"compress/gzip"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

type counts struct{ accepts, open, responses int64 }

var all = map[string]*counts{}

var block = []byte(strings.Repeat("The quick brown fox jumps over the lazy dog. ", 1500))

func writeBytes(w io.Writer, n int) bool {
	for n > 0 {
		part := block
		if n < len(part) {
			part = part[:n]
		}
		if _, err := w.Write(part); err != nil {
			return false
		}
		n -= len(part)
	}
	return true
}

// answer says whether the response was written whole.
func answer(w http.ResponseWriter, r *http.Request) bool {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	n := 0
	if len(parts) > 1 {
		n, _ = strconv.Atoi(parts[1])
	}
	io.Copy(io.Discard, r.Body)
	switch parts[0] {
	case "bytes":
		w.Header().Set("Content-Length", strconv.Itoa(n))
		return writeBytes(w, n)
	case "chunked":
		w.(http.Flusher).Flush()
		return writeBytes(w, n)
	case "gzip":
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			return writeBytes(w, n)
		}
		w.Header().Set("Content-Encoding", "gzip")
		packed, _ := gzip.NewWriterLevel(w, gzip.NoCompression)
		return writeBytes(packed, n) && packed.Close() == nil
	case "slow":
		ms, _ := strconv.Atoi(r.URL.Query().Get("ms"))
		w.Header().Set("Content-Length", strconv.Itoa(n))
		for ; n > 0; n -= 1024 {
			size := 1024
			if n < size {
				size = n
			}
			if !writeBytes(w, size) {
				return false
			}
			w.(http.Flusher).Flush()
			time.Sleep(time.Duration(ms) * time.Millisecond)
		}
	case "hang":
		<-r.Context().Done()
		return false
	case "redirect":
		w.Header().Set("Location", r.URL.Query().Get("to"))
		w.WriteHeader(http.StatusFound)
		return writeBytes(w, 1024)
	case "status":
		w.WriteHeader(n)
		return n == http.StatusNoContent || n == http.StatusNotModified || writeBytes(w, 8192)
	case "upgrade":
		return upgrade(w)
	case "events":
		fields, _ := strconv.Atoi(r.URL.Query().Get("fields"))
		for i := 0; i < fields; i++ {
			w.Header().Set(fmt.Sprintf("X-Field-%d", i), "nothing")
		}
		w.Header().Set("Content-Type", "Text/Event-Stream; charset=utf-8")
		writeBytes(w, n)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		return false
	case "grpc":
		w.Header().Set("Content-Type", "application/grpc+proto")
		return writeBytes(w, n)
	default:
		http.NotFound(w, r)
	}
	return true
}

func upgrade(w http.ResponseWriter) bool {
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return false
	}
	defer conn.Close()
	io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
	io.Copy(conn, rw)
	return true
}

// relay is a proxy that wants to know the user: absolute-form requests and CONNECT.
func relay(w http.ResponseWriter, r *http.Request) bool {
	if r.Header.Get("Proxy-Authorization") == "" {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return true
	}
	if r.Method == http.MethodConnect {
		return tunnel(w, r.Host)
	}
	r.RequestURI = ""
	r.Header.Del("Proxy-Authorization")
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	defer resp.Body.Close()
	w.Header().Set("Content-Length", resp.Header.Get("Content-Length"))
	w.WriteHeader(resp.StatusCode)
	_, err = io.Copy(w, resp.Body)
	return err == nil
}

func tunnel(w http.ResponseWriter, target string) bool {
	far, err := net.Dial("tcp", target)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return true
	}
	near, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return false
	}
	io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n")
	go func() {
		pipe(far, rw.Reader)
		far.Close()
	}()
	io.Copy(near, far)
	near.Close()
	return true
}

func pipe(to net.Conn, from *bufio.Reader) { io.Copy(to, from) }

func serve(name string, handle func(http.ResponseWriter, *http.Request) bool, config *tls.Config, idle time.Duration) int {
	c := &counts{}
	all[name] = c
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		IdleTimeout: idle,
		TLSConfig:   config,
		ErrorLog:    log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if handle(w, r) {
				atomic.AddInt64(&c.responses, 1)
			}
		}),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				atomic.AddInt64(&c.accepts, 1)
				atomic.AddInt64(&c.open, 1)
			case http.StateClosed, http.StateHijacked:
				atomic.AddInt64(&c.open, -1)
			}
		},
	}
	go func() {
		if config != nil {
			log.Fatal(server.ServeTLS(listener, "", ""))
		}
		log.Fatal(server.Serve(listener))
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

func control(w http.ResponseWriter, r *http.Request) bool {
	stats := map[string]map[string]int64{}
	for name, c := range all {
		stats[name] = map[string]int64{
			"accepts":   atomic.LoadInt64(&c.accepts),
			"open":      atomic.LoadInt64(&c.open),
			"responses": atomic.LoadInt64(&c.responses),
		}
		if r.URL.Path == "/clear" {
			atomic.StoreInt64(&c.accepts, 0)
			atomic.StoreInt64(&c.responses, 0)
		}
	}
	json.NewEncoder(w).Encode(stats)
	return true
}

func main() {
	certificate, err := tls.LoadX509KeyPair(os.Args[1], os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	withALPN := func(protocols ...string) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: protocols}
	}
	ports := map[string]int{
		"http":      serve("http", answer, nil, 0),
		"https":     serve("https", answer, withALPN("http/1.1"), 0),
		"h2":        serve("h2", answer, withALPN("h2"), 0),
		"impatient": serve("impatient", answer, nil, 100*time.Millisecond),
		"proxy":     serve("proxy", relay, nil, 0),
		"control":   serve("control", control, nil, 0),
	}
	line, _ := json.Marshal(ports)
	fmt.Println(string(line))
	io.Copy(io.Discard, os.Stdin)
}
