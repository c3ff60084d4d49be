"""`fetch` against real servers on loopback: the simulated vendor, raw sockets, TLS."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpcore
import httpx
import pytest

from syncd.core.secret import Secret
from syncd.core.wire import Answer, NoAnswer, Request
from syncd.demo.vendor import Account, Reply, SimulatedVendor, made_up_models
from syncd.errors import ConfigError
from syncd.fetch import Fetcher, Network
from syncd.fetch.network import _Socket
from tests import hostile

KEY = "vvx_live_0123456789abcdefghijklmnopqrstuv"
CERTIFICATE = Path(__file__).parent / "data" / "throwaway.pem"
LIMIT = 1 << 20
SHORT = 0.3  # seconds, where the deadline passes
LONG = 10.0  # seconds, where it must not
SLACK = 0.7  # seconds a busy machine may add to a deadline


Make = Callable[[], Reply]


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def vendor() -> Iterator[SimulatedVendor]:
    with SimulatedVendor() as vendor:
        vendor.keys[KEY] = Account()
        yield vendor


@pytest.fixture
def fetcher() -> Iterator[Fetcher]:
    with fetching() as fetcher:
        yield fetcher


def fetching(
    *,
    timeout: float = LONG,
    limit: int = LIMIT,
    connections: int = 4,
    transport: httpx.BaseTransport | None = None,
) -> Fetcher:
    return Fetcher(timeout=timeout, max_response=limit, connections=connections, clock=now, transport=transport)


def models(vendor: SimulatedVendor, key: str = KEY) -> Request:
    return request(f"{vendor.base_url}/api/v1/models", key)


def request(url: str, key: str = KEY) -> Request:
    return Request(url, {"Authorization": Secret(key).prefixed("Bearer "), "Accept": "application/json"})


def answered(outcome: Answer | NoAnswer) -> Answer:
    assert isinstance(outcome, Answer), outcome
    return outcome


def failed(outcome: Answer | NoAnswer) -> NoAnswer:
    assert isinstance(outcome, NoAnswer), outcome
    assert KEY not in repr(outcome)
    return outcome


@contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server on a port of 127.0.0.1 that gives each connection to `handle`, in a thread, and then closes it."""
    threads: list[threading.Thread] = []
    stopping = threading.Event()

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            handle(connection)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            if stopping.is_set():
                connection.close()
                return
            threads.append(threading.Thread(target=serve, args=(connection,)))
            threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield port
        finally:
            stopping.set()
            socket.create_connection(("127.0.0.1", port)).close()
            for thread in [accepting, *threads]:
                thread.join()


def say_nothing(connection: socket.socket) -> None:
    """Take what comes until the client leaves."""
    while connection.recv(65_536):
        pass


def read_request(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        part = connection.recv(65_536)
        if not part:
            raise ConnectionError
        head += part
    return head


# --- a complete answer -------------------------------------------------------------------------------------------


def test_an_answer_comes_whole(vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    before = now()
    answer = answered(fetcher.get(models(vendor)))
    assert answer.status == 200
    assert b'"grok-imagine-image-quality"' in answer.body
    assert answer.headers["x-simulated"] == "yes"
    assert answer.headers["x-credits-balance"] == "12,847"
    assert answer.headers["content-encoding"] == "gzip"
    assert before <= answer.started <= answer.ended <= now()
    assert answer.started.utcoffset() == timedelta(0)
    assert 0 < answer.duration < LONG


def test_the_request_carries_the_key_and_asks_for_gzip_only(vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    fetcher.get(models(vendor))
    (seen,) = vendor.requests
    assert seen.key == KEY
    assert seen.headers["accept"] == "application/json"
    assert seen.headers["accept-encoding"] == "gzip"
    assert seen.headers["user-agent"].startswith("syncd/")
    assert "cookie" not in seen.headers


def test_a_caller_cannot_ask_for_another_encoding(vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    asked = models(vendor)
    fetcher.get(replace(asked, headers={**asked.headers, "accept-encoding": "br, zstd"}))
    assert vendor.requests[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name)
        for table in (hostile.REFUSALS, hostile.RATE_LIMITS, hostile.NOT_THE_API, hostile.MALFORMED, hostile.ODD)
        for name, make in table.items()
    ],
)
def test_whatever_is_complete_comes_back_as_it_is(make: Make, vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    reply: Reply = make()
    vendor.keys[KEY].answer = hostile.always(reply)
    answer = answered(fetcher.get(models(vendor)))
    assert (answer.status, answer.body) == (reply.status, reply.body)
    for name, value in reply.headers:
        assert value in answer.headers[name.lower()]


def test_several_values_of_a_header_are_joined(vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    vendor.keys[KEY].answer = hostile.always(Reply(headers=(("X-Two", "a"), ("x-two", "b"))))
    assert answered(fetcher.get(models(vendor))).headers["x-two"] == "a, b"


def test_interim_answers_are_skipped(vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    vendor.keys[KEY].answer = hostile.always(hostile.raw(hints * 3 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    assert answered(fetcher.get(models(vendor))).body == b"ok"


def test_a_body_may_end_with_its_connection(vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    vendor.keys[KEY].answer = hostile.always(hostile.raw(b"HTTP/1.0 200 OK\r\n\r\n", b"to the ", b"end"))
    assert answered(fetcher.get(models(vendor))).body == b"to the end"


# --- no answer ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "reason"), hostile.BROKEN.values(), ids=hostile.BROKEN)
def test_what_is_not_complete_is_no_answer(make: Make, reason: str, vendor: SimulatedVendor) -> None:
    reply = make()
    vendor.keys[KEY].answer = hostile.always(reply)
    with fetching(timeout=SHORT if reason == "timeout" else LONG) as fetcher:
        outcome = failed(fetcher.get(models(vendor)))
    assert outcome.reason == reason
    assert outcome.message.endswith(".")
    assert outcome.started <= outcome.ended
    assert outcome.duration < (SHORT + SLACK if reason == "timeout" else LONG)
    assert len(vendor.requests) == 1


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "protocol"),
        ("/api/v1/models", "protocol"),
        ("127.0.0.1/api", "protocol"),
        ("ftp://127.0.0.1/", "protocol"),
        ("http://", "protocol"),
        ("http:///api", "protocol"),
        ("http://[no address]/", "protocol"),
        ("http://127.0.0.1:port/", "protocol"),
        ("http://127.0.0.1:99999/", "protocol"),
        ("http://127.0.0.1/\x00", "protocol"),
        ("http://two..dots/", "dns"),
        (f"http://{'a' * 64}.example/", "dns"),
    ],
)
def test_an_unusable_url_is_no_answer(url: str, reason: str, fetcher: Fetcher) -> None:
    assert failed(fetcher.get(request(url))).reason == reason


@pytest.mark.parametrize("key", [f"{KEY}\n", f"{KEY}\r\nX-Evil: 1", f"\u00e9{KEY}", f"{KEY}\x00", f"{KEY}\ud800"])
def test_a_key_that_no_header_can_hold_is_not_told(key: str, vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    outcome = failed(fetcher.get(models(vendor, key)))
    assert outcome.reason == "protocol"
    assert vendor.requests == []


def test_nobody_listens(fetcher: Fetcher) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    outcome = failed(fetcher.get(request(f"http://127.0.0.1:{port}/")))
    assert (outcome.reason, outcome.message) == (
        "refused",
        f"127.0.0.1:{port} cannot be reached: Connection refused.",
    )


def test_a_name_without_an_address() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with fetching(transport=Network(resolve=resolve)) as fetcher:
        outcome = failed(fetcher.get(request("http://vivix.invalid/")))
    assert (outcome.reason, outcome.message) == (
        "dns",
        "The name vivix.invalid does not resolve: Name or service not known.",
    )


def test_an_address_that_refuses_leaves_the_next_one_its_turn(vendor: SimulatedVendor) -> None:
    def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    url = vendor.base_url.replace("127.0.0.1", "vivix.invalid") + "/api/v1/models"
    with fetching(transport=Network(resolve=resolve)) as fetcher:
        assert answered(fetcher.get(request(url))).status == 200


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ((b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",), "protocol"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",), "protocol"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",), "protocol"),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",), "protocol"),
        ((b"HTTP/1.1 200 OK\r\n" + b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n",), "protocol"),
        ((b"HTTP/1.1 200 OK\r\n" + b"bad header line\r\n\r\n",), "protocol"),
        ((b"<html>\r\n\r\n",), "protocol"),
        ((b"\x16\x03\x01\x02\x00\x01\x00", 5.0), "protocol"),
        ((b"HTTP/1.1 200 O",), "reset"),
    ],
)
def test_what_is_not_http_is_no_answer(
    steps: tuple[bytes | float, ...], reason: str, vendor: SimulatedVendor, fetcher: Fetcher
) -> None:
    vendor.keys[KEY].answer = hostile.always(hostile.raw(*steps))
    assert failed(fetcher.get(models(vendor))).reason == reason


# --- the deadline ------------------------------------------------------------------------------------------------


def test_a_server_that_accepts_and_says_nothing_is_left_at_the_deadline() -> None:
    with serving(say_nothing) as port, fetching(timeout=SHORT) as fetcher:
        outcome = failed(fetcher.get(request(f"http://127.0.0.1:{port}/")))
    assert (outcome.reason, outcome.message) == (
        "timeout",
        "No complete answer from 127.0.0.1 within 0.3 s: still waiting for the answer.",
    )
    assert SHORT <= outcome.duration < SHORT + SLACK


def test_a_tls_handshake_that_does_not_come_is_left_at_the_deadline() -> None:
    with serving(say_nothing) as port, fetching(timeout=SHORT) as fetcher:
        outcome = failed(fetcher.get(request(f"https://127.0.0.1:{port}/")))
    assert (outcome.reason, outcome.message) == (
        "timeout",
        "No complete answer from 127.0.0.1 within 0.3 s: still agreeing on TLS.",
    )
    assert SHORT <= outcome.duration < SHORT + SLACK


def test_a_resolver_that_hangs_is_left_at_the_deadline() -> None:
    release = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        release.wait(LONG)
        return []

    with fetching(timeout=SHORT, transport=Network(resolve=resolve)) as fetcher:
        outcome = failed(fetcher.get(request("http://vivix.invalid/")))
    release.set()
    assert (outcome.reason, outcome.message) == (
        "timeout",
        "No complete answer from vivix.invalid within 0.3 s: still resolving the name.",
    )


def test_an_address_whose_packets_vanish_is_left_in_time_for_the_next_one(vendor: SimulatedVendor) -> None:
    # A listener whose queue is full drops what comes: connecting to it hangs.
    port = int(vendor.base_url.rpartition(":")[2])
    with socket.socket() as deaf, ThreadPoolExecutor() as pool:
        deaf.bind(("127.0.0.3", port))
        deaf.listen(0)
        waiting = [pool.submit(_knock, port) for _ in range(3)]
        time.sleep(0.05)

        def resolve(host: str, port: int) -> list[str]:
            return ["127.0.0.3", "127.0.0.1"]

        url = f"http://vivix.invalid:{port}/api/v1/models"
        with fetching(timeout=1.0, transport=Network(resolve=resolve)) as fetcher:
            answer = answered(fetcher.get(request(url)))
        assert 0.4 < answer.duration < 1.0
        for knock in waiting:
            knock.result()


def _knock(port: int) -> None:
    with suppress(OSError), socket.create_connection(("127.0.0.3", port), timeout=1.2):
        time.sleep(1.2)


def test_the_deadline_holds_for_the_wait_for_a_free_connection_too(vendor: SimulatedVendor) -> None:
    vendor.keys[KEY].answer = hostile.always(hostile.slow_body)
    with fetching(timeout=SHORT, connections=1) as fetcher, ThreadPoolExecutor() as pool:
        first = pool.submit(fetcher.get, models(vendor))
        time.sleep(SHORT / 3)
        second = pool.submit(fetcher.get, models(vendor))
        assert failed(first.result()).reason == "timeout"
        outcome = failed(second.result())
    assert outcome.reason == "timeout"
    assert outcome.duration < SHORT + SLACK


def test_the_deadline_holds_under_any_transport() -> None:
    def endless() -> Iterator[bytes]:
        while True:
            time.sleep(0.02)
            yield b" "

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=endless()))
    with fetching(timeout=SHORT, transport=transport) as fetcher:
        assert failed(fetcher.get(request("http://vivix.invalid/"))).reason == "timeout"


def test_closing_ends_what_is_under_way(vendor: SimulatedVendor) -> None:
    vendor.keys[KEY].answer = hostile.always(hostile.slow_body(0.02))
    with ThreadPoolExecutor() as pool:
        fetcher = fetching()
        outcome = pool.submit(fetcher.get, models(vendor))
        while not vendor.requests:
            time.sleep(0.01)
        fetcher.close()
        assert failed(outcome.result()).reason == "reset"


# --- the body ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize(("size", "reason"), [(LIMIT - 1, None), (LIMIT, None), (LIMIT + 1, "too_large")])
def test_the_limit_is_the_largest_body_that_comes(
    encoding: str, size: int, reason: str | None, vendor: SimulatedVendor, fetcher: Fetcher
) -> None:
    vendor.keys[KEY].answer = hostile.always(Reply(body=b" " * size, pack=encoding == "gzip"))
    outcome = fetcher.get(models(vendor))
    if reason is None:
        assert len(answered(outcome).body) == size
    else:
        assert failed(outcome).reason == reason


def test_what_comes_packed_is_counted_before_it_is_unpacked(vendor: SimulatedVendor) -> None:
    body = b"".join(gzip.compress(b"") for _ in range(1000))  # 20 KB that unpack to nothing
    vendor.keys[KEY].answer = hostile.always(hostile.packed(body))
    with fetching(limit=10_000) as fetcher:
        assert failed(fetcher.get(models(vendor))).reason == "too_large"


@pytest.mark.parametrize("size", [96 * hostile.MIB, 512 * hostile.MIB])
def test_a_gzip_bomb_is_never_in_memory(size: int, vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    reply = hostile.gzip_bomb(size)
    vendor.keys[KEY].answer = hostile.always(reply)
    tracemalloc.start()
    try:
        outcome = failed(fetcher.get(models(vendor)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcome.reason == "too_large"
    assert peak < LIMIT + 2 * len(reply.body) + 2 * hostile.MIB


BODY = hostile.listing().body
PACKED = gzip.compress(BODY)


@pytest.mark.parametrize(
    ("encoding", "sent", "body"),
    [
        pytest.param("gzip", PACKED, BODY, id="gzip"),
        pytest.param("GZip", PACKED, BODY, id="in capitals"),
        pytest.param("x-gzip", PACKED, BODY, id="by its old name"),
        pytest.param("identity", BODY, BODY, id="not packed, and said so"),
        pytest.param("gzip", PACKED + PACKED, BODY + BODY, id="two members"),
        pytest.param("gzip", PACKED + b"\0" * 512, BODY, id="padded with zeros"),
        pytest.param("gzip", b"", b"", id="an empty body"),
        pytest.param("gzip", gzip.compress(b""), b"", id="nothing, packed"),
        pytest.param("gzip", gzip.compress(b"x" * 65_536), b"x" * 65_536, id="exactly one step"),
        pytest.param("gzip", gzip.compress(b"x" * 131_073), b"x" * 131_073, id="two steps and a byte"),
        pytest.param("gzip", PACKED + b"rubbish", None, id="rubbish behind it"),
        pytest.param("gzip", PACKED[:-1], None, id="without its last byte"),
        pytest.param("gzip", PACKED[:-8], None, id="without its trailer"),
        pytest.param("gzip", PACKED[:5], None, id="half a header"),
        pytest.param("gzip", PACKED + PACKED[:20], None, id="half a second member"),
        pytest.param("gzip, gzip", gzip.compress(PACKED), None, id="packed twice"),
        pytest.param("deflate", PACKED, None, id="deflate"),
        pytest.param("zstd", PACKED, None, id="zstd"),
    ],
)
def test_gzip_is_unpacked_and_nothing_else_is(
    encoding: str, sent: bytes, body: bytes | None, vendor: SimulatedVendor, fetcher: Fetcher
) -> None:
    vendor.keys[KEY].answer = hostile.always(hostile.packed(sent, encoding))
    outcome = fetcher.get(models(vendor))
    if body is None:
        assert failed(outcome).reason == "encoding"
    else:
        assert answered(outcome).body == body


def test_gzip_may_come_byte_by_byte(vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(PACKED)}\r\n\r\n".encode()
    vendor.keys[KEY].answer = hostile.always(hostile.raw(head, *(bytes([byte]) for byte in PACKED)))
    assert answered(fetcher.get(models(vendor))).body == BODY


# --- what must not travel ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_is_not_followed(status: int, vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    with SimulatedVendor() as other:
        location = f"{other.base_url}/api/v1/models"
        vendor.keys[KEY].answer = hostile.always(hostile.moved(status, location))
        answer = answered(fetcher.get(models(vendor)))
        assert (answer.status, answer.headers["location"]) == (status, location)
        assert other.requests == []
    assert len(vendor.requests) == 1


def test_a_cookie_of_one_key_does_not_travel_with_another(vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    vendor.keys[KEY].answer = hostile.always(hostile.with_cookie)
    vendor.keys["vvx_live_b"] = Account()
    first = answered(fetcher.get(models(vendor)))
    assert first.headers["set-cookie"] == "session=of-key-a; Path=/, lb=7; Path=/"
    for key in (KEY, "vvx_live_b"):
        fetcher.get(models(vendor, key))
    assert ["cookie" in seen.headers for seen in vendor.requests] == [False, False, False]


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_of_the_environment_does_not_get_the_key(
    variable: str, vendor: SimulatedVendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with SimulatedVendor() as proxy:
        monkeypatch.setenv(variable, proxy.base_url)
        with fetching() as fetcher:
            assert answered(fetcher.get(models(vendor))).status == 200
        assert proxy.requests == []


def test_a_user_name_in_the_url_does_not_replace_the_key(vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    url = vendor.base_url.replace("http://", "http://user:password@") + "/api/v1/models"
    assert answered(fetcher.get(request(url))).status == 200
    assert vendor.requests[0].key == KEY


# --- kept connections --------------------------------------------------------------------------------------------

GOOD = hostile.listing()


@pytest.mark.parametrize(
    ("replies", "reason", "requests"),
    [
        pytest.param([GOOD, GOOD], None, 2, id="a kept connection that lives"),
        pytest.param([GOOD, hostile.closed(), GOOD], None, 3, id="a kept connection closed: once more"),
        pytest.param([GOOD, hostile.reset(), GOOD], None, 3, id="a kept connection reset: once more"),
        pytest.param([GOOD, hostile.closed(), hostile.closed(), GOOD], "reset", 3, id="never twice more"),
        pytest.param([GOOD, hostile.raw(b"H"), GOOD], "reset", 2, id="not after a byte of the answer"),
        pytest.param([GOOD, hostile.cut_off(), GOOD], "reset", 2, id="not after half an answer"),
        pytest.param([GOOD, hostile.raw(5.0), GOOD], "timeout", 2, id="not after the deadline"),
        pytest.param([GOOD, hostile.not_http(), GOOD], "protocol", 2, id="not after something else than HTTP"),
    ],
)
def test_only_a_kept_connection_that_died_before_a_byte_is_worth_another_try(
    replies: list[Reply], reason: str | None, requests: int, vendor: SimulatedVendor
) -> None:
    vendor.keys[KEY].answer = hostile.in_turn(*replies)
    with fetching(timeout=SHORT if reason == "timeout" else LONG) as fetcher:
        answered(fetcher.get(models(vendor)))
        outcome = fetcher.get(models(vendor))
    if reason is None:
        assert answered(outcome).body == GOOD.body
    else:
        assert failed(outcome).reason == reason
    assert len(vendor.requests) == requests


@pytest.mark.parametrize("reply", [hostile.closed(), hostile.reset()], ids=["closed", "reset"])
def test_a_fresh_connection_that_dies_gets_no_other_try(
    reply: Reply, vendor: SimulatedVendor, fetcher: Fetcher
) -> None:
    vendor.keys[KEY].answer = hostile.in_turn(reply, GOOD)
    outcome = failed(fetcher.get(models(vendor)))
    assert (outcome.reason, outcome.message) == ("reset", "127.0.0.1 closed the connection without an answer.")
    assert len(vendor.requests) == 1


def test_a_connection_serves_again_after_a_refusal(fetcher: Fetcher) -> None:
    connections = []

    def handle(connection: socket.socket) -> None:
        connections.append(connection)
        while True:
            read_request(connection)
            connection.sendall(b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\n{}")

    with serving(handle) as port:
        for _ in range(3):
            assert answered(fetcher.get(request(f"http://127.0.0.1:{port}/"))).status == 429
        fetcher.close()
    assert len(connections) == 1


def test_a_server_that_restarted_is_asked_over_a_new_connection(vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    for _ in range(3):
        assert answered(fetcher.get(models(vendor))).status == 200
        vendor.hang_up()
    assert len(vendor.requests) == 3


def test_after_a_failure_the_next_request_works(vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    for make, reason in hostile.BROKEN.values():
        if reason in {"protocol", "too_large", "encoding"}:
            vendor.keys[KEY].answer = hostile.in_turn(make(), GOOD)
            failed(fetcher.get(models(vendor)))
            answered(fetcher.get(models(vendor)))


def test_thirty_two_threads_share_a_fetcher(vendor: SimulatedVendor) -> None:
    names = [f"vvx_live_{number}" for number in range(32)]
    for number, name in enumerate(names):
        vendor.keys[name] = Account(balance=number, models=made_up_models(5))

    def ask(name: str) -> list[tuple[int, str]]:
        answers = [answered(shared.get(models(vendor, name))) for _ in range(15)]
        return [(answer.status, answer.headers["x-credits-balance"]) for answer in answers]

    with fetching(connections=8, timeout=60) as shared, ThreadPoolExecutor(32) as pool:
        assert list(pool.map(ask, names)) == [[(200, str(number))] * 15 for number in range(32)]
    assert len(vendor.requests) == 32 * 15


def test_a_connection_another_thread_has_just_taken_is_not_held_for_one_the_server_closed() -> None:
    class Taken(httpcore.NetworkStream):
        """While the pool looks at it, another request goes out on it and its answer comes."""

        def write(self, buffer: bytes, timeout: float | None = None) -> None:
            pass

        def get_extra_info(self, info: str) -> bool:
            connection.write(b"GET / HTTP/1.1")
            return True

    connection = _Socket(Taken())
    assert connection.get_extra_info("is_readable") is False


def test_no_more_requests_than_connections_at_a_time(vendor: SimulatedVendor) -> None:
    busy, most, lock = 0, 0, threading.Lock()

    def answer(_: object) -> Reply:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        time.sleep(0.02)
        with lock:
            busy -= 1
        return GOOD

    vendor.keys[KEY].answer = answer
    with fetching(connections=3) as fetcher, ThreadPoolExecutor(12) as pool:
        for outcome in pool.map(fetcher.get, [models(vendor)] * 24):
            answered(outcome)
    assert most == 3


# --- TLS ---------------------------------------------------------------------------------------------------------


@contextmanager
def serving_tls() -> Iterator[int]:
    """A server with the throw-away certificate, for 127.0.0.1 and localhost, that answers ``ok`` to each request."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE)

    def handle(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as safe:
            while True:
                read_request(safe)
                safe.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with serving(handle) as port:
        yield port


def test_a_certificate_nobody_vouches_for_is_not_trusted(fetcher: Fetcher) -> None:
    with serving_tls() as port:
        outcome = failed(fetcher.get(request(f"https://127.0.0.1:{port}/")))
    assert outcome.reason == "tls"
    assert "self" in outcome.message
    assert "signed certificate" in outcome.message


def test_the_certificates_of_ssl_cert_file_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with serving_tls() as port, fetching() as fetcher:
        assert answered(fetcher.get(request(f"https://127.0.0.1:{port}/"))).body == b"ok"
        assert answered(fetcher.get(request(f"https://127.0.0.1:{port}/"))).body == b"ok"
        fetcher.close()


def test_a_trusted_certificate_of_another_host_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    network = Network(resolve=lambda host, port: ["127.0.0.1"])
    with serving_tls() as port, fetching(transport=network) as fetcher:
        outcome = failed(fetcher.get(request(f"https://vivix.invalid:{port}/")))
    assert outcome.reason == "tls"
    assert "vivix.invalid" in outcome.message


def test_a_server_without_tls_where_tls_belongs(vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    url = vendor.base_url.replace("http:", "https:")
    assert failed(fetcher.get(request(url))).reason == "tls"


@pytest.mark.parametrize("reads", [0, 1, 65_536])
def test_a_server_that_hangs_up_in_the_tls_handshake(reads: int, fetcher: Fetcher) -> None:
    def hang_up(connection: socket.socket) -> None:
        connection.recv(reads)

    with serving(hang_up) as port:
        assert failed(fetcher.get(request(f"https://127.0.0.1:{port}/"))).reason == "reset"


def test_a_file_of_certificates_that_is_not_there_is_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    with pytest.raises(ConfigError, match="SSL_CERT_FILE: the certificates cannot be read: No such file"):
        fetching()


# --- other transports --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (httpx.ConnectTimeout(KEY), "timeout"),
        (httpx.ReadTimeout(KEY), "timeout"),
        (httpx.WriteTimeout(KEY), "timeout"),
        (httpx.PoolTimeout(KEY), "timeout"),
        (httpx.ConnectError(KEY), "refused"),
        (httpx.ReadError(KEY), "reset"),
        (httpx.WriteError(KEY), "reset"),
        (httpx.CloseError(KEY), "reset"),
        (httpx.ProxyError(KEY), "reset"),
        (httpx.RemoteProtocolError(KEY), "protocol"),
        (httpx.LocalProtocolError(KEY), "protocol"),
        (httpx.UnsupportedProtocol(KEY), "protocol"),
        (httpx.InvalidURL(KEY), "protocol"),
        (httpx.DecodingError(KEY), "encoding"),
        (httpcore.ReadTimeout(KEY), "timeout"),
        (httpcore.ConnectError(KEY), "refused"),
        (httpcore.RemoteProtocolError(KEY), "protocol"),
        (httpcore.ReadError(KEY), "reset"),
        (httpcore.ProxyError(KEY), "reset"),
        (TimeoutError(KEY), "timeout"),
        (ConnectionRefusedError(KEY), "refused"),
        (ConnectionResetError(KEY), "reset"),
        (BrokenPipeError(KEY), "reset"),
        (OSError(KEY), "reset"),
        (socket.gaierror(KEY), "dns"),
        (ssl.SSLError(KEY), "tls"),
        (ssl.SSLCertVerificationError(KEY), "tls"),
    ],
    ids=lambda value: type(value).__module__ + "." + type(value).__name__ if isinstance(value, Exception) else value,
)
def test_every_failure_of_a_transport_has_its_reason_and_keeps_its_words_to_itself(
    problem: Exception, reason: str
) -> None:
    def handle(_: httpx.Request) -> httpx.Response:
        raise problem

    with fetching(transport=httpx.MockTransport(handle)) as fetcher:
        assert failed(fetcher.get(request("http://vivix.invalid/"))).reason == reason


def test_a_ready_made_response_is_read_like_one_from_the_network() -> None:
    ready = httpx.Response(200, content=PACKED, headers={"Content-Encoding": "gzip", "X-A": "1"})
    with fetching(transport=httpx.MockTransport(lambda _: ready)) as fetcher:
        answer = answered(fetcher.get(request("http://vivix.invalid/")))
    assert (answer.body, answer.headers["x-a"]) == (BODY, "1")


# --- the simulated vendor ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "authorization", "status", "code"),
    [
        ("/api/v1/models", "", 401, b"UNAUTHORIZED"),
        ("/api/v1/models", "Basic abc", 401, b"UNAUTHORIZED"),
        ("/api/v1/models", "Bearer vvx_live_unknown", 401, b"KEY_INVALID"),
        ("/api/v1/generate", f"Bearer {KEY}", 404, b"NOT_FOUND"),
        ("/api/v1/models?cursor=2", f"Bearer {KEY}", 200, b'"models"'),
        ("/api/v1/credits", f"Bearer {KEY}", 200, b'"balance":12847'),
    ],
)
def test_the_simulated_vendor_answers_as_documented(  # noqa: PLR0917 (a table and two fixtures)
    path: str, authorization: str, status: int, code: bytes, vendor: SimulatedVendor, fetcher: Fetcher
) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    answer = answered(fetcher.get(Request(vendor.base_url + path, headers)))
    assert answer.status == status
    assert code in answer.body
    assert ("x-request-id" in answer.headers) == (status == 200)
    assert (b'"request_id"' in answer.body) == (status != 200)
    assert vendor.requests[0].path == path


def test_the_simulated_vendor_shows_changes_at_once(vendor: SimulatedVendor, fetcher: Fetcher) -> None:
    account = vendor.keys[KEY]
    del account.models[1:]
    account.balance = 49_711
    account.extra["notice"] = "moving"
    answer = answered(fetcher.get(models(vendor)))
    assert answer.headers["x-credits-balance"] == "49,711"
    assert b"wan-2.7" not in answer.body
    assert b'"notice":"moving"' in answer.body
    account.tier = "standard"
    assert b"TIER_LOCKED" in answered(fetcher.get(models(vendor))).body


def test_the_simulated_vendor_counts_the_calls_of_an_account_not_of_a_key(
    vendor: SimulatedVendor, fetcher: Fetcher
) -> None:
    vendor.keys["vvx_live_b"] = vendor.keys[KEY]
    left = [
        int(answered(fetcher.get(models(vendor, key))).headers["x-ratelimit-remaining"]) for key in (KEY, "vvx_live_b")
    ]
    # 239 then 238; a minute that began in between counts anew
    assert left in ([239, 238], [239, 239])
