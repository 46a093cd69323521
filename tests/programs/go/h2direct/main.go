// A client of golang.org/x/net/http2 itself, as grpc-go has its own: net/http's functions are not called. Usage: h2direct URL
package main

import (
	"fmt"
	"net/http"
	"os"
	"time"

	"golang.org/x/net/http2"
)

func main() {
	client := &http.Client{Transport: &http2.Transport{}}
	for i := 0; i < 5; i++ {
		if _, err := client.Get(os.Args[1]); err != nil { // h2direct
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	time.Sleep(time.Second)
	fmt.Println("h2direct: done")
}
