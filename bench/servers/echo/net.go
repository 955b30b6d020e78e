// Go: package net, a goroutine for each connection. The runtime sets TCP_NODELAY itself, and the backlog to the
// system's maximum.
package main

import (
	"fmt"
	"log"
	"net"
	"os"
)

const received = 64 << 10

func host() string {
	if host := os.Getenv("BENCH_HOST"); host != "" {
		return host
	}
	return "127.0.0.1"
}

// io.Copy would splice the socket into itself through a pipe, which costs more for small messages.
func echo(conn net.Conn) {
	defer conn.Close()
	buffer := make([]byte, received)
	for {
		n, err := conn.Read(buffer)
		if n > 0 {
			if _, err := conn.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func main() {
	listener, err := net.Listen("tcp4", net.JoinHostPort(host(), "0"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ready", listener.Addr().(*net.TCPAddr).Port)
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go echo(conn)
	}
}
