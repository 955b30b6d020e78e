"""The mail sink, against smtplib and curl, and bytes by hand."""

from __future__ import annotations

import mailbox
import re
import shutil
import signal
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from email.message import EmailMessage, Message
from pathlib import Path

import pytest
import trustme

from ..interop.curl import command
from ..interop.peers import LIMIT_S, Program, beside, call, connect, python, receive_all, receive_exactly
from .backends import told
from .running import EXAMPLES, reset, server, settles

NAME = "smtp_sink.py"
BEGIN = b"EHLO a\r\nMAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n"


@contextmanager
def sink(directory: Path, *args: str) -> Iterator[tuple[Program, int]]:
    with server(NAME, *args, str(directory / "mail")) as (program, port):
        yield program, port


def mails(directory: Path) -> list[Message]:
    """Return all mail, oldest first, as a program that knows maildirs reads it."""
    with_names = sorted(mailbox.Maildir(directory / "mail", create=False).iteritems())
    assert not list((directory / "mail" / "tmp").iterdir())
    return [message for _, message in with_names]


def codes(answers: bytes) -> list[int]:
    """Return the codes of the answers, one for each of them."""
    assert all(re.fullmatch(rb"[2-5]\d\d[ -][^\r\n]*", line) for line in answers.split(b"\r\n")[:-1])
    return [int(code) for code in re.findall(rb"(?m)^(\d\d\d) ", answers)]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ssl.SSLContext]:
    """A file with a key and a certificate, and a context for clients that trust it."""
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("certificate") / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(path))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return path, context


# Real clients.


def test_smtplib(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["Subject"] = "dots"
    mail.set_content(".\n..\n.x\n\nend\n")
    with sink(tmp_path) as (_, port), smtplib.SMTP("127.0.0.1", port, timeout=LIMIT_S) as client:
        client.send_message(mail, "ann@a.example", ["bob@b.example", "eve@e.example"])
        assert client.esmtp_features["size"] == "10000000"
        assert {"pipelining", "8bitmime"} <= set(client.esmtp_features)
        client.send_message(mail, "", ["bob@b.example"])
        first, second = mails(tmp_path)
    assert first.get_payload() == ".\n..\n.x\n\nend\n"
    assert first["Return-Path"] == "<ann@a.example>"
    assert first.get_all("Delivered-To") == ["bob@b.example", "eve@e.example"]
    assert first["Received"].startswith("from ")
    assert second["Return-Path"] == "<>"


def test_curl(tmp_path: Path) -> None:
    to = ["--mail-from", "ann@a.example", "--mail-rcpt", "bob@b.example"]
    with sink(tmp_path) as (_, port):
        call(command(*to, "-T", "-", f"smtp://127.0.0.1:{port}"), b"Subject: hello\r\n\r\nhello\r\n.\r\n")
        (mail,) = mails(tmp_path)
    assert (mail["Subject"], mail.get_payload()) == ("hello", "hello\n.\n")


def test_starttls(tmp_path: Path, certificate: tuple[Path, ssl.SSLContext]) -> None:
    path, context = certificate
    with sink(tmp_path, "--cert", str(path)) as (_, port), smtplib.SMTP("127.0.0.1", port, timeout=LIMIT_S) as client:
        client.ehlo()
        assert client.has_extn("starttls")
        client.starttls(context=context)
        assert client.docmd("MAIL", "FROM:<>")[0] == 503  # what was said in plain text is forgotten
        client.ehlo()
        assert not client.has_extn("starttls")
        client.sendmail("a@a.example", "b@b.example", "Subject: secret\n\nx")
        assert "with ESMTPS" in mails(tmp_path)[0]["Received"]


def test_sighup_loads_the_certificate_again(tmp_path: Path, certificate: tuple[Path, ssl.SSLContext]) -> None:
    if not hasattr(signal, "SIGHUP"):
        pytest.skip("no SIGHUP here")
    used = tmp_path / "used.pem"
    trustme.CA().issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(used))
    path, context = certificate
    with sink(tmp_path, "--cert", str(used)) as (program, port):
        with smtplib.SMTP("127.0.0.1", port, timeout=LIMIT_S) as client, pytest.raises(ssl.SSLCertVerificationError):
            client.starttls(context=context)
        shutil.copy(path, used)
        program.send_signal(signal.SIGHUP)
        for _ in range(1000):
            try:
                with smtplib.SMTP("127.0.0.1", port, timeout=LIMIT_S) as client:
                    client.starttls(context=context)
                return
            except ssl.SSLError:
                pass  # it has not got the signal yet
        pytest.fail("the old certificate is still in use")


# By hand.


def test_all_commands_in_one_packet(tmp_path: Path) -> None:
    with sink(tmp_path) as (_, port):
        assert codes(told(port, BEGIN + b"..\r\n.\r\nNOOP\r\nRSET\r\nVRFY x\r\nQUIT\r\n")) == [
            *(220, 250, 250, 250, 354, 250),
            *(250, 250, 252, 221),
        ]
        assert mails(tmp_path)[0].get_payload() == ".\n"


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        (b"DATA\r\nRCPT TO:<b@b>\r\nMAIL FROM:<a@a>\r\n", [503, 503, 503]),
        (b"EHLO\r\nHELO a\r\nXXXX\r\n\r\nSTARTTLS\r\n", [501, 250, 500, 500, 500]),
        (b"HELO a\r\nMAIL FROM: <a@a>\r\nMAIL FROM:<a@a>\r\n", [250, 250, 503]),
        (b"HELO a\r\nMAIL FROM:<a@a> SIZE=99999999999\r\nMAIL FROM:<a@a> SIZE=x\r\n", [250, 552, 555]),
        (b"HELO a\r\nMAIL FROM:a@a\r\nMAIL FROM:<a b>\r\nMAIL FROM:<a>b\r\nMAIL TO:<a>\r\n", [250, 501, 501, 501, 501]),
        (b"HELO a\r\nMAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT TO:<a@b>\r\nDATA x\r\n", [250, 250, 501, 250, 501]),
        (b"HELO a\r\nMAIL FROM:<>\r\n" + b"RCPT TO:<a@b>\r\n" * 101, [250, 250, *[250] * 100, 452]),
        (b"HELO a\nMAIL FROM:<>\r\nHELO \0\r\n", [500, 500]),
        (b"NOOP\r\n" + b"x" * 3000, [250, 500]),
        (b"x\r\n" * 100, [*[500] * 20, 421]),
    ],
)
def test_answers(port: int, commands: bytes, expected: list[int]) -> None:
    with connect("127.0.0.1", port) as sock:
        sock.sendall(commands)
        sock.shutdown(socket.SHUT_WR)
        assert codes(receive_all(sock)) == [220, *expected]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with sink(tmp_path_factory.mktemp("sink")) as (_, port):
        yield port


@pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r"])
def test_no_mail_hides_in_another(tmp_path: Path, end: bytes) -> None:
    """Some servers take such bytes for the end of a mail, and what follows for the next one (SMTP smuggling)."""
    inner = b"MAIL FROM:<boss@a>\r\nRCPT TO:<b@b>\r\nDATA\r\nevil\r\n.\r\n"
    with sink(tmp_path) as (_, port):
        assert codes(told(port, BEGIN + b"text" + end + inner + b"QUIT\r\n")) == [220, 250, 250, 250, 354, 554, 221]
        assert mails(tmp_path) == []


def test_a_message_that_is_too_large(tmp_path: Path) -> None:
    text = b"x" * 998 + b"\r\n"
    with sink(tmp_path, "--size", "100000") as (_, port):
        more = BEGIN.removeprefix(b"EHLO a\r\n")
        assert codes(told(port, BEGIN + text * 101 + b".\r\n" + more + text * 100 + b".\r\nQUIT\r\n")) == [
            *(220, 250, 250, 250, 354, 552),
            *(250, 250, 354, 250, 221),
        ]
        assert len(mails(tmp_path)) == 1
        assert codes(told(port, BEGIN + b"x" * 100_000)) == [220, 250, 250, 250, 354, 500]
        assert len(mails(tmp_path)) == 1


def test_what_came_before_tls_is_not_trusted(tmp_path: Path, certificate: tuple[Path, ssl.SSLContext]) -> None:
    with sink(tmp_path, "--cert", str(certificate[0])) as (_, port):
        assert codes(told(port, b"EHLO a\r\nSTARTTLS\r\nNOOP\r\n")) == [220, 250, 554]
        with connect("127.0.0.1", port) as sock:
            sock.sendall(b"STARTTLS\r\n")
            while receive_exactly(sock, 1) != b"g":
                pass
            sock.sendall(b"this is no handshake\r\n")
            receive_all(sock)
        assert codes(told(port, b"QUIT\r\n")) == [220, 221]


def test_a_mail_whose_client_leaves_is_not_kept(tmp_path: Path) -> None:
    with sink(tmp_path) as (program, port), connect("127.0.0.1", port) as probe:

        def ask() -> None:
            probe.sendall(b"NOOP\r\n")
            assert b"250" in probe.recv(100)

        assert probe.recv(100).startswith(b"220 ")
        ask()
        open_files = program.open_files()
        message = BEGIN + b"Subject: x\r\n\r\nx\r\n."
        for end in range(0, len(message) + 1, 5):
            sock = connect("127.0.0.1", port)
            sock.sendall(message[:end])
            reset(sock) if end % 2 else sock.close()
        settles(program, open_files, ask)
        assert mails(tmp_path) == []


def test_many_clients_at_a_time(tmp_path: Path) -> None:
    message = BEGIN + b"x\r\n" * 5000 + b".\r\nQUIT\r\n"
    with sink(tmp_path) as (_, port), ExitStack() as stack:
        sending = [stack.enter_context(beside(told, port, message)) for _ in range(20)]
        assert [codes(one.outcome()) for one in sending] == [[220, 250, 250, 250, 354, 250, 221]] * 20
        assert len(mails(tmp_path)) == 20


def test_a_disk_that_fails(tmp_path: Path) -> None:
    with sink(tmp_path) as (_, port):
        (tmp_path / "mail" / "new").rmdir()
        assert codes(told(port, BEGIN + b"x\r\n.\r\nQUIT\r\n")) == [220, 250, 250, 250, 354, 452, 221]
        assert not list((tmp_path / "mail" / "tmp").iterdir())
        (tmp_path / "mail" / "tmp").rmdir()
        assert codes(told(port, BEGIN + b"QUIT\r\n")) == [220, 250, 250, 250, 451, 221]


# The end.


def test_ctrl_c_says_goodbye_and_keeps_no_half_mail(tmp_path: Path) -> None:
    with ExitStack() as clients:
        with sink(tmp_path, "--grace", "0.1") as (_, port):
            idle = clients.enter_context(connect("127.0.0.1", port))
            busy = clients.enter_context(connect("127.0.0.1", port))
            busy.sendall(BEGIN + b"half a mail\r\n")
            idle.sendall(b"NOOP\r\n")
            answers = b""
            while b"354" not in answers:
                answers += busy.recv(1000)
            while b"250" not in (answer := idle.recv(1000)):
                assert answer
        assert codes(receive_all(idle)) == codes(receive_all(busy)) == [421]
        assert mails(tmp_path) == []


def test_bad_arguments(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for args in ([str(tmp_path / "file")], ["--cert", str(tmp_path / "none"), str(tmp_path / "mail")]):
        with python(EXAMPLES / NAME, "--port", "0", *args) as program:
            assert program.wait() == 1
            assert program.stderr().startswith(b"cannot start: ")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with python(EXAMPLES / NAME, "--port", port, str(tmp_path / "mail")) as program:
            assert program.wait() == 1
            assert program.stderr().startswith(f"cannot listen on 127.0.0.1:{port}: ".encode())
