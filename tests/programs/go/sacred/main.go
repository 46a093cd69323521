// Programs that end, signal and start others in every way; an exchange, properly done, comes first.
//
// Usage: sacred MODE URL
package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

func must(err error) {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(99)
	}
}

func exchange() {
	resp, err := http.Get(os.Args[2]) // exchange
	must(err)
	_, err = io.Copy(io.Discard, resp.Body)
	must(err)
	resp.Body.Close()
}

// Every signal that can be caught is, and each is seen as often as it was sent.
func everySignal() {
	var seen [65]int32
	caught := make(chan os.Signal, 4096)
	signal.Notify(caught)
	go func() {
		for s := range caught {
			atomic.AddInt32(&seen[s.(syscall.Signal)], 1)
		}
	}()
	numbers := []syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTRAP, syscall.SIGABRT, syscall.SIGUSR1, syscall.SIGUSR2,
		syscall.SIGPIPE, syscall.SIGALRM, syscall.SIGTERM, syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGTSTP, syscall.SIGTTIN,
		syscall.SIGWINCH, syscall.SIGSYS, syscall.Signal(36), syscall.Signal(64),
	}
	for _, number := range numbers {
		must(syscall.Kill(os.Getpid(), number))
		for i := 0; i < 500 && atomic.LoadInt32(&seen[number]) == 0; i++ {
			time.Sleep(10 * time.Millisecond)
		}
		fmt.Println(int(number), atomic.LoadInt32(&seen[number]))
		exchange()
	}
	signal.Reset()
}

func children() {
	for i := 0; i < 5; i++ {
		out, err := exec.Command("/bin/sh", "-c", "echo hello; exit 0").Output()
		must(err)
		fmt.Print(string(out))
	}
	err := exec.Command("/bin/sh", "-c", "exit 7").Run()
	fmt.Println(err)
	self, err := os.Executable()
	must(err)
	out, err := exec.Command(self, "exit", os.Args[2]).CombinedOutput()
	fmt.Println(string(out), err)
	command := exec.Command("/bin/cat")
	command.Stdin = strings.NewReader("through a pipe\n")
	out, err = command.Output()
	must(err)
	fmt.Print(string(out))
}

func replaced() {
	must(syscall.Exec("/bin/echo", []string{"echo", "another program"}, os.Environ()))
}

//go:noinline
func nilPointer(p *int) int { return *p }

func recovered() {
	defer func() { fmt.Println("recovered:", recover()) }()
	nilPointer(nil)
}

func overflow(n int) int { return overflow(n+1) + n }

func concurrentMap() {
	m := map[int]int{}
	for i := 0; i < 4; i++ {
		go func() {
			for n := 0; ; n++ {
				m[n%10] = n
			}
		}()
	}
	time.Sleep(10 * time.Second)
}

func goexit() {
	var group sync.WaitGroup
	for i := 0; i < 50; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			defer func() { recover() }()
			exchange()
			if i%2 == 0 {
				runtime.Goexit()
			}
			panic("on the way")
		}(i)
	}
	group.Wait()
}

func panics() {
	var err error = errors.New("the end")
	panic(err)
}

func main() {
	debug.SetTraceback("single")
	if os.Args[1] == "none" {
		fmt.Println("no HTTP")
		return
	}
	exchange()
	fmt.Println(os.Args[1])
	switch os.Args[1] {
	case "return":
	case "exit":
		os.Exit(3)
	case "fatal":
		log.SetFlags(0)
		log.Fatal("fatal")
	case "panic":
		panics()
	case "recovered":
		recovered()
	case "nil":
		nilPointer(nil)
	case "overflow":
		debug.SetMaxStack(1 << 20)
		overflow(0)
	case "map":
		concurrentMap()
	case "goexit":
		goexit()
	case "abort":
		must(syscall.Kill(os.Getpid(), syscall.SIGABRT))
		time.Sleep(10 * time.Second)
	case "term":
		must(syscall.Kill(os.Getpid(), syscall.SIGTERM))
		time.Sleep(10 * time.Second)
	case "kill":
		must(syscall.Kill(os.Getpid(), syscall.SIGKILL))
		time.Sleep(10 * time.Second)
	case "signals":
		everySignal()
	case "children":
		children()
	case "replaced":
		replaced()
	case "wait": // for a signal from outside
		time.Sleep(time.Minute)
	default:
		os.Exit(2)
	}
}
