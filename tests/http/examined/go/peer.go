// HTTP with the implementation of Go: `peer serve PATH` says of each request what it is, `peer ask URL` is a client.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
)

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// text makes a character of each byte.
func text(data []byte) string {
	runes := make([]rune, len(data))
	for at, octet := range data {
		runes[at] = rune(octet)
	}
	return string(runes)
}

func describe(writer http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		http.Error(writer, err.Error(), 400)
		return
	}
	said, err := json.Marshal(map[string]string{"method": request.Method, "target": request.RequestURI, "body": text(body)})
	check(err)
	writer.Header().Set("Trailer", "Length")
	writer.Header().Set("Content-Length", fmt.Sprint(len(said)))
	writer.Write(said)
}

func serve(path string) {
	listener, err := net.Listen("unix", path)
	check(err)
	fmt.Println("ready")
	check(http.Serve(listener, http.HandlerFunc(describe)))
}

// ask sends several requests on one connection and prints what it gets.
func ask(url string, authority string) {
	transport := &http.Transport{MaxConnsPerHost: 1, ExpectContinueTimeout: 30_000_000_000}
	if authority != "" {
		pem, err := os.ReadFile(authority)
		check(err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, ServerName: "localhost"}
	}
	client := &http.Client{Transport: transport}
	large := bytes.Repeat([]byte("0123456789"), 100_000)
	for _, each := range []struct {
		method, path string
		body         io.Reader
		expect       bool
	}{
		{"GET", "/", nil, false},
		{"POST", "/echo", bytes.NewReader(large), false},
		{"PUT", "/echo", io.MultiReader(bytes.NewReader(large)), false}, // chunked
		{"PUT", "/echo", bytes.NewReader(large), true},
		{"HEAD", "/echo", nil, false},
		{"GET", "/none", nil, false},
		{"GET", "/trailers", nil, false},
	} {
		request, err := http.NewRequest(each.method, url+each.path, each.body)
		check(err)
		if each.expect {
			request.Header.Set("Expect", "100-continue")
		}
		reused, continued := false, false
		trace := &httptrace.ClientTrace{
			GotConn:        func(info httptrace.GotConnInfo) { reused = info.Reused },
			Got100Continue: func() { continued = true },
		}
		response, err := client.Do(request.WithContext(httptrace.WithClientTrace(request.Context(), trace)))
		check(err)
		body, err := io.ReadAll(response.Body)
		check(err)
		response.Body.Close()
		same := bytes.Equal(body, large)
		fmt.Println(response.StatusCode, len(body), same, reused, continued, response.Trailer.Get("X-Sum"))
	}
}

func main() {
	if os.Args[1] == "serve" {
		serve(os.Args[2])
	} else {
		ask(os.Args[2], os.Args[3])
	}
}
