"""The scenarios of rules.js, with socket2.net."""

from __future__ import annotations

import functools
from typing import Any

from socket2 import net
from socket2.net import BlockList, SocketAddress

from .stage import Stage

TEXTS = ["1.2.3.4", "01.2.3.4", "1.2.3", "1.2.3.256", "1.2.3.4 ", "", "::", "::1", "::ffff:1.2.3.4", "::FFFF:1.2.3.4"]
TEXTS += ["fe80::1%lo", "fe80::1%", "fe80::1%1", "1::2::3", "12345::", "[::1]", "0x1.2.3.4", "1.2.3.4%lo", "::1.2.3.4"]
TEXTS += ["localhost"]

ADDRESSES = [["1.1.1.1", "ipv4"], ["1.1.1.2", "ipv4"], ["1.1.1.9", "ipv4"], ["::ffff:1.1.1.2", "ipv6"]]
ADDRESSES += [["::ffff:101:102", "ipv6"], ["::FFFF:1.1.1.2", "ipv6"], ["::1.1.1.2", "ipv6"], ["10.0.0.1", "ipv4"]]
ADDRESSES += [["10.255.0.1", "ipv4"], ["::ffff:10.0.0.1", "ipv6"], ["11.0.0.1", "ipv4"], ["fe80::1", "ipv6"]]
ADDRESSES += [["fe80::2", "ipv6"], ["fe80::1%lo", "ipv6"], ["2001:db8::5", "ipv6"], ["2001:db8::", "ipv6"]]
ADDRESSES += [["2001:db8:0:1::", "ipv6"]]
ADDRESSES += [["nonsense", "ipv4"], ["1.1.1.2", "ipv6"], ["fe80::1", "ipv4"], ["1.1.1.2", "IPv4"], ["1.1.1.2"]]


def is_ip(stage: Stage) -> None:
    for text in TEXTS:
        stage.say("net", text, net.isIP(text), net.isIPv4(text), net.isIPv6(text))
    values: list[Any] = [None, 5, True, {}, []]
    for n, value in enumerate(values):
        stage.say("net", f"no text {n}", net.isIP(value), net.isIPv4(value), net.isIPv6(value))


def filled() -> BlockList:
    blocked = BlockList()
    blocked.addAddress("1.1.1.2")
    blocked.addAddress("fe80::1", "ipv6")
    blocked.addRange("1.1.1.8", "1.1.1.10")
    blocked.addSubnet("10.0.0.0", 8)
    blocked.addSubnet("2001:db8::", 64, "ipv6")
    return blocked


def blocked(stage: Stage) -> None:
    rules = filled()
    for address in ADDRESSES:
        stage.attempt("list", " ".join(address), functools.partial(rules.check, *address))
    for host, family in ADDRESSES[:-5]:
        one = SocketAddress(address=host, family=family)
        stage.attempt("list", f"as object {host},{family}", functools.partial(rules.check, one))


def blocked_by_ipv6_rules(stage: Stage) -> None:
    rules = BlockList()
    rules.addAddress("::ffff:1.1.1.2", "ipv6")
    rules.addSubnet("::ffff:10.0.0.0", 104, "ipv6")
    rules.addRange("::ffff:1.1.1.8", "::ffff:1.1.1.10", "ipv6")
    for address in ADDRESSES[:11]:
        stage.attempt("list", " ".join(address), functools.partial(rules.check, *address))


def rules(stage: Stage) -> None:
    stage.say("list", "rules", sorted(filled().rules), BlockList().rules)


def blocked_wrongly(stage: Stage) -> None:
    rules: Any = BlockList()
    stage.attempt("list", "a", lambda: rules.addAddress("nonsense"))
    stage.attempt("list", "b", lambda: rules.addAddress("::1"))
    stage.attempt("list", "c", lambda: rules.addAddress("1.1.1.1", "ipv6"))
    stage.attempt("list", "d", lambda: rules.addAddress(5))
    stage.attempt("list", "e", lambda: rules.addAddress("1.1.1.1", 5))
    stage.attempt("list", "f", lambda: rules.addAddress("1.1.1.1", "nonsense"))
    stage.attempt("list", "g", lambda: rules.addRange("1.1.1.2", "1.1.1.1"))
    stage.attempt("list", "h", lambda: rules.addRange("1.1.1.2", "nonsense"))
    stage.attempt("list", "i", lambda: rules.addSubnet("1.1.1.2", 33))
    stage.attempt("list", "j", lambda: rules.addSubnet("1.1.1.2", -1))
    stage.attempt("list", "k", lambda: rules.addSubnet("1.1.1.2", "x"))
    stage.attempt("list", "l", lambda: rules.addSubnet("1.1.1.2", 1.5))
    stage.attempt("list", "m", lambda: rules.addSubnet("::", 129, "ipv6"))
    stage.attempt("list", "n", lambda: rules.check(5))
    stage.attempt("list", "o", lambda: rules.check("1.1.1.1", 5))
    stage.attempt("list", "p", lambda: rules.check("1.1.1.1", "nonsense"))
    stage.say("list", "rules", rules.rules)


def addresses(stage: Stage) -> None:
    given: list[dict[str, Any]] = [{}, {"address": "1.2.3.4"}, {"address": "1.2.3.4", "port": 80}, {"family": "ipv6"}]
    given += [{"address": "::1", "family": "ipv6", "port": 80, "flowlabel": 5}, {"family": "IPv6"}]
    given += [{"address": "::0001", "family": "ipv6"}, {"address": "::1"}, {"address": "1.2.3.4", "family": "ipv6"}]
    given += [{"family": "nonsense"}, {"family": 5}, {"address": 5}, {"port": -1}, {"port": 65536}, {"port": "x"}]
    given += [{"flowlabel": -1, "family": "ipv6"}, {"flowlabel": "x", "family": "ipv6"}]
    given += [{"address": "nonsense"}, {"flowlabel": 5}]

    def parts(options: dict[str, Any] | None) -> list[Any]:
        made = SocketAddress(options)
        return [made.address, made.family, made.port, made.flowlabel]

    for n, options in enumerate(given):
        stage.attempt("address", str(n), functools.partial(parts, options))
    stage.say("address", "none", *parts(None))
