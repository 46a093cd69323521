// The plugin of host: Ask forgets the body.
package main

import "net/http"

func Ask(url string) int {
	resp, err := http.Get(url) // plugin
	if err != nil {
		return -1
	}
	return resp.StatusCode
}

func main() {}
