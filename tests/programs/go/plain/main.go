// Plain: a Go program that speaks to nobody.
package main

import "fmt"

func main() {
	fmt.Println("plain")
}
