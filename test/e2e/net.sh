#!/bin/bash
# Client sockets of a program in C: what it reaches, what it does not, and that waiting ends.
. "$(dirname "$0")/../tap.sh"
guest=$(compile "$here/sockets.c")

net() { # DEADLINE-MS ARG...
    timeout -k 5 60 "$build/test/net" "$guest" "$@" >"$work/out" 2>"$work/err"
    status=$?
}

got() { diff - "$work/out"; } # the output is standard input's text

net 20000 get server.test @tcp
check "net: an HTTP GET by name" is 0 "^hello from the server$"
net 20000 get 127.0.0.1 @tcp
check "net: an HTTP GET by address" is 0 "^peer 127.0.0.1"
net 20000 udp server.test @udp
check "net: a datagram and its answer" is 0 "^ping$"
net 20000 get 127.0.0.1 1
check "net: another port is refused" is 1 "^connect: Permission denied$"
net 20000 get 192.0.2.1 @tcp
check "net: another address is refused" is 1 "^connect: Permission denied$"
net 20000 get elsewhere.test @tcp
check "net: an unknown name does not resolve" is 1 "^elsewhere.test: name does not resolve$"
net 20000 name server.test
check "net: names" is 0
check "net: ...have addresses" got <<'END'
127.0.0.1 80 server.test
server.test 127.0.0.1
END
net 20000 refused
check "net: a client alone" got <<'END'
bind to anything: it works
bind: Not supported
listen: Not supported
accept: Capabilities insufficient
socketpair: Not supported
unix: Address family not supported by protocol
raw: Protocol wrong type for socket
connect elsewhere: Permission denied
connect with a short address: Invalid argument
END
net 300 wait 127.0.0.1 @deaf
check "net: the deadline ends a recv that waits" is 124
run "$guest" refused
check "net: wardmote run gives no sockets" is 1 "^socket: Permission denied$"
finish
