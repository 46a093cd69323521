// A Go program with a C library that does HTTP itself: libcurl through cgo beside net/http; each forgets in its way.
//
// Usage: cgocurl URL. Go forgets two bodies; C leaves one transfer of a multi handle half read.
package main

/*
#cgo LDFLAGS: -lcurl
#include <curl/curl.h>
#include <stdlib.h>

static size_t swallow(char *data, size_t size, size_t n, void *user) {
    (void)data, (void)user;
    return size * n;
}

static long whole(const char *url) {
    CURL *easy = curl_easy_init();
    long status = -1;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
    if (curl_easy_perform(easy) == CURLE_OK)
        curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(easy);
    return status;
}

static void half(const char *url) {
    CURLM *multi = curl_multi_init();
    CURL *easy = curl_easy_init();
    int running = 1;
    curl_off_t got = 0;
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, swallow);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 1024L);
    curl_multi_add_handle(multi, easy);
    while (running && got == 0) {
        curl_multi_perform(multi, &running);
        curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &got);
        curl_multi_wait(multi, NULL, 0, 10, NULL);
    }
}
*/
import "C"

import (
	"fmt"
	"net/http"
	"os"
	"runtime"
	"time"
	"unsafe"
)

func main() {
	url := C.CString(os.Args[1])
	defer C.free(unsafe.Pointer(url))
	for i := 0; i < 2; i++ {
		if _, err := http.Get(os.Args[1]); err != nil { // go
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println(C.whole(url))
	C.half(url)
	time.Sleep(time.Second)
	fmt.Printf("cgocurl: %d goroutines\n", runtime.NumGoroutine())
}
