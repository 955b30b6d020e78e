// A TLS peer: go run peer.go client|server CA CERTIFICATE VERSION [PORT]
//
// Each prints what it sees of the connection. The client sends BODY twice, over a connection each, and ends its
// direction; the server echoes until the end and ends its direction, too.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	return value
}

func config(ca, certificate, version string) *tls.Config {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(must(os.ReadFile(ca)))
	number := map[string]uint16{"TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13}[version]
	return &tls.Config{
		RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "localhost",
		Certificates: []tls.Certificate{must(tls.LoadX509KeyPair(certificate, certificate))},
		MinVersion:   number, MaxVersion: number, NextProtos: []string{"a", "b"},
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
}

func tell(conn *tls.Conn) {
	state := conn.ConnectionState()
	fmt.Println("state", state.NegotiatedProtocol, state.ServerName, state.DidResume, state.PeerCertificates[0].DNSNames)
}

func client(settings *tls.Config, port string) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 20000)
	for round := 0; round < 2; round++ {
		conn := must(tls.Dial("tcp", "127.0.0.1:"+port, settings))
		tell(conn)
		go func() {
			must(conn.Write(body))
			conn.CloseWrite()
		}()
		fmt.Println("same", bytes.Equal(must(io.ReadAll(conn)), body))
		conn.Close()
	}
}

func server(settings *tls.Config) {
	listener := must(tls.Listen("tcp", "127.0.0.1:0", settings))
	fmt.Printf("listening on 127.0.0.1:%d\n", listener.Addr().(*net.TCPAddr).Port)
	for {
		conn := must(listener.Accept()).(*tls.Conn)
		if err := conn.Handshake(); err != nil {
			fmt.Println("handshake:", err)
			continue
		}
		tell(conn)
		io.Copy(conn, conn)
		conn.CloseWrite()
		conn.Close()
	}
}

func main() {
	settings := config(os.Args[2], os.Args[3], os.Args[4])
	if os.Args[1] == "client" {
		client(settings, os.Args[5])
	} else {
		server(settings)
	}
}
