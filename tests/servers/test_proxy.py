"""The S3 proxy records requests and injects faults."""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.servers.faults import (
    Fault,
    Request,
    always,
    every,
    first,
    flip,
    missing,
    reads,
    reset,
    slow,
    status,
    truncate,
    writes,
)
from tests.servers.proxy import S3Proxy
from tests.servers.s3 import S3Server

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("seaweedfs")]

DATA = bytes(range(256)) * 4


@pytest.fixture
def files(s3_proxy: S3Proxy, seaweedfs: S3Server) -> Any:
    """Return the file system through the proxy, with DATA at ``proxy/data`` and no recorded requests."""
    seaweedfs.make_bucket("proxy")
    seaweedfs.files().pipe_file("proxy/data", DATA)
    return s3_proxy.through(seaweedfs).files()


def get(proxy: S3Proxy) -> http.client.HTTPResponse:
    """Request DATA without retries. The unsigned request is refused, which does not matter to the proxy."""
    connection = http.client.HTTPConnection(urlsplit(proxy.url).netloc)
    connection.request("GET", "/proxy/data", headers={"Connection": "close"})
    return connection.getresponse()


def test_requests_are_counted_with_their_bytes(files: Any, s3_proxy: S3Proxy) -> None:
    assert files.cat_file("proxy/data", start=10, end=30) == DATA[10:30]
    files.pipe_file("proxy/b c+ü%", b"12345")
    read, write = s3_proxy.requests
    assert (read.method, read.path, read.range, read.status) == ("GET", "/proxy/data", "bytes=10-29", 206)
    assert (read.sent_bytes, read.received_bytes) == (0, 20)
    assert (write.method, write.path, write.status) == ("PUT", "/proxy/b%20c%2B%C3%BC%25", 200)
    assert (write.sent_bytes, write.received_bytes) == (5, 0)
    s3_proxy.reset()
    files.ls("proxy")
    assert [(request.method, request.query.split("&")[0]) for request in s3_proxy.requests] == [("GET", "list-type=2")]


def test_large_objects_are_uploaded_and_downloaded_in_parts(files: Any, s3_proxy: S3Proxy) -> None:
    large = DATA * (20 << 10)
    files.pipe_file("proxy/large", large, chunksize=5 << 20)
    assert files.cat_file("proxy/large") == large
    assert sum(request.sent_bytes for request in s3_proxy.requests if request.method == "PUT") == len(large)
    assert sum(request.received_bytes for request in s3_proxy.requests if reads(request)) == len(large)


def test_chunked_uploads_and_uploads_with_expect_continue_pass(files: Any, s3_proxy: S3Proxy) -> None:
    import boto3
    from botocore.config import Config

    options = files.storage_options
    names = {"aws_access_key_id": options["key"], "aws_secret_access_key": options["secret"]}
    client = boto3.client(
        "s3",
        endpoint_url=s3_proxy.url,
        region_name="us-east-1",
        config=Config(request_checksum_calculation="when_supported"),
        **names,
    )
    client.put_object(Bucket="proxy", Key="asked", Body=DATA, ChecksumAlgorithm="CRC32")
    assert client.get_object(Bucket="proxy", Key="asked")["Body"].read() == DATA
    client.close()
    assert s3_proxy.requests[0].headers["expect"] == "100-continue"
    assert s3_proxy.requests[0].status == 200

    connection = http.client.HTTPConnection(urlsplit(s3_proxy.url).netloc)
    connection.request("PUT", "/proxy/chunked", body=iter([b"12", b"345"]), encode_chunked=True)
    assert connection.getresponse().status == 403  # unsigned, but it arrived
    connection.close()
    assert s3_proxy.requests[-1].headers["transfer-encoding"] == "chunked"


def test_latencies_of_concurrent_requests_overlap(files: Any, s3_proxy: S3Proxy) -> None:
    s3_proxy.latency = 0.2
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda k: files.cat_file("proxy/data", start=k, end=k + 1), range(16)))
    assert answers == [DATA[k : k + 1] for k in range(16)]
    # At least the latency of each. None for a request whose answer was sent just now.
    assert all(request.seconds is None or request.seconds >= 0.2 for request in s3_proxy.requests)


@pytest.mark.parametrize("number", [500, 503])
def test_a_server_error_is_retried_by_the_client(files: Any, s3_proxy: S3Proxy, number: int) -> None:
    s3_proxy.fault = first(1, status(number, "SlowDown"), reads)
    assert files.cat_file("proxy/data", start=0) == DATA
    assert [request.status for request in s3_proxy.requests if reads(request)] == [number, 206]


def test_a_refusal_and_a_missing_object_reach_the_client(files: Any, s3_proxy: S3Proxy) -> None:
    s3_proxy.fault = always(status(403, "AccessDenied"))
    with pytest.raises(PermissionError, match="AccessDenied"):
        files.cat_file("proxy/data", start=0)
    s3_proxy.fault = always(missing(), reads)
    with pytest.raises(FileNotFoundError):
        files.cat_file("proxy/data", start=0)
    s3_proxy.fault = None
    assert files.cat_file("proxy/data", start=0) == DATA


def test_a_connection_breaks_before_or_within_an_answer(s3_proxy: S3Proxy, files: Any) -> None:
    s3_proxy.fault = always(reset())
    with pytest.raises(ConnectionResetError):
        get(s3_proxy)
    s3_proxy.fault = always(reset(10))
    with get(s3_proxy) as answer, pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        answer.read()
    assert [request.received_bytes for request in s3_proxy.requests] == [0, 10]
    s3_proxy.fault = first(1, reset(100), reads)
    assert files.cat_file("proxy/data", start=0) == DATA


def test_a_write_is_done_although_its_answer_is_lost(files: Any, s3_proxy: S3Proxy) -> None:
    for name, lost in {"reset": reset(0), "error": status(500, "InternalError", reached=True)}.items():
        s3_proxy.reset()
        s3_proxy.fault = first(1, lost, writes)
        with pytest.raises(OSError, match="pre-conditions"):  # of the client's own second attempt
            files.pipe_file(f"proxy/{name}", b"1", mode="create")
        assert [request.status for request in s3_proxy.requests if writes(request)] == [lost.status or None, 412]
        assert files.cat_file(f"proxy/{name}") == b"1"


def test_an_answer_ends_before_its_announced_length(files: Any, s3_proxy: S3Proxy) -> None:
    s3_proxy.fault = always(truncate(10))
    with get(s3_proxy) as answer, pytest.raises(http.client.IncompleteRead) as raised:
        answer.read()
    assert len(raised.value.partial) == 10
    s3_proxy.fault = first(1, truncate(100), reads)
    assert files.cat_file("proxy/data", start=0) == DATA


def test_an_answer_has_wrong_bytes_at_the_given_position(files: Any, s3_proxy: S3Proxy) -> None:
    s3_proxy.fault = always(flip(at=2, count=2), reads)
    data = files.cat_file("proxy/data", start=0, end=10)
    assert data == DATA[:2] + bytes(byte ^ 0xFF for byte in DATA[2:4]) + DATA[4:10]


def test_a_slow_answer_is_complete(files: Any, s3_proxy: S3Proxy) -> None:
    s3_proxy.fault = always(slow(0.05, rate=10 * len(DATA)), reads)
    assert files.cat_file("proxy/data", start=0) == DATA
    assert [request.fault for request in s3_proxy.requests] == ["slow"]


def test_rules_apply_to_the_first_or_every_nth_matching_request() -> None:
    fault = Fault("slow")
    requests = [Request("PUT" if k % 2 else "GET", "/b/k", "", None, {}) for k in range(8)]
    assert [bool(each) for each in map(first(2, fault, reads), requests)] == [True, False, True, *[False] * 5]
    assert [bool(each) for each in map(every(2, fault, writes), requests)] == [*[False] * 3, True, *[False] * 3, True]
    assert not reads(Request("GET", "/bucket/", "list-type=2", None, {}))
