// The incident: a service that asks several neighbours, each correctly but one, whose answer is forgotten on one path. The server
// closes connections that stay idle, so nothing grows on the wire, while goroutines stay.
//
// Usage: incident BASE-URL ROUNDS. Prints "incident: F forgotten, G goroutines".
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

type service struct {
	client *http.Client
	base   string
}

func (s *service) users() (int, error) {
	resp, err := s.client.Get(s.base + "/bytes/9000?users") // users
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return len(data), err
}

func (s *service) prices() error {
	resp, err := s.client.Get(s.base + "/chunked/9000?prices") // prices
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

func (s *service) order(n int) error {
	text, _ := json.Marshal(map[string]int{"order": n})
	resp, err := s.client.Post(s.base+"/status/200", "application/json", strings.NewReader(string(text))) // order
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// When all is well the body is forgotten here: only the status is looked at.
func (s *service) healthy() bool {
	resp, err := s.client.Get(s.base + "/bytes/9000?health") // healthy
	return err == nil && resp.StatusCode == http.StatusOK
}

func (s *service) handle(n int) {
	must := func(err error) {
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	_, err := s.users()
	must(err)
	must(s.prices())
	if n%10 == 0 && !s.healthy() {
		fmt.Println("not healthy")
		os.Exit(1)
	}
	must(s.order(n))
}

func main() {
	rounds, err := strconv.Atoi(os.Args[2])
	if err != nil {
		os.Exit(2)
	}
	// The client gives its own idle connections up before the server does, so that none is lost in a race.
	s := &service{
		client: &http.Client{Transport: &http.Transport{IdleConnTimeout: 50 * time.Millisecond}},
		base:   os.Args[1],
	}
	var group sync.WaitGroup
	for worker := 0; worker < 4; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			for i := worker; i < rounds; i += 4 {
				s.handle(i)
			}
		}(worker)
	}
	group.Wait()
	time.Sleep(time.Second)
	fmt.Printf("incident: %d forgotten, %d goroutines\n", (rounds+9)/10, runtime.NumGoroutine())
}
