// A program with a plugin: both ask, the plugin forgets. Usage: host PLUGIN URL
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"plugin"
	"runtime"
	"time"
)

func main() {
	opened, err := plugin.Open(os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	symbol, err := opened.Lookup("Ask")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	resp, err := http.Get(os.Args[2])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	for i := 0; i < 5; i++ {
		fmt.Println(symbol.(func(string) int)(os.Args[2]))
	}
	time.Sleep(time.Second)
	fmt.Printf("plugin: %d goroutines\n", runtime.NumGoroutine())
}
