"""Chunk reads and writes on S3: this library against boto3 and obstore, on one server, in one run.

Each reads or writes the same objects with the same number of threads, whole, and rounds are interleaved,
because machines drift. Two ways of ours to read: ``get_into`` a buffer that is used again, which is how
arrays read chunks, and ``get``; two to write: ``put``, and ``put if`` the etag is that of the last one. The
server runs on this machine and takes its share of the cores: ratios say more than rates. Needs obstore
(``pip install obstore``) and the server's program.

    python benchmarks/s3.py [--server versitygw | --endpoint http://host:9000] [--threads 8] [--rounds 7]
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from streamzarr.stores.s3 import S3Store  # noqa: E402
from streamzarr.stores.s3_client import S3Config, client_for  # noqa: E402
from tests.support import s3_servers  # noqa: E402

SIZES_KIB = [16, 64, 256, 1024]
OBJECTS = 64

Read = Callable[[str], object]


def ours_into(store: S3Store, size: int) -> Read:
    local = threading.local()

    def read(key: str) -> object:
        buffer = getattr(local, "buffer", None)
        if buffer is None:
            buffer = local.buffer = bytearray(size)
        assert store.get_into(key, buffer) == size
        return buffer

    return read


def boto3_get(store: S3Store) -> Read:
    boto, bucket, prefix = store._client.boto, store._bucket, store._prefix
    return lambda key: boto.get_object(Bucket=bucket, Key=f"{prefix}/{key}")["Body"].read()


def obstore_of(store: S3Store) -> Any:
    from obstore.store import S3Store as Obstore

    return Obstore(
        store._bucket,
        prefix=store._prefix,
        endpoint=store._config.endpoint_url,
        access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
        secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def obstore_get(store: S3Store) -> Read:
    import obstore

    peer = obstore_of(store)
    return lambda key: obstore.get(peer, key).bytes()


def writers(store: S3Store, value: bytes) -> dict[str, Read]:
    """Ways to write `value`; each key is written by one thread at a time."""
    import obstore

    boto, bucket, prefix, peer = store._client.boto, store._bucket, store._prefix, obstore_of(store)
    etags: dict[str, str] = {}

    def put_if_match(key: str) -> object:
        key = f"{key}-if"
        etags[key] = store.put(key, value, if_match=etags.get(key), if_none_match=key not in etags)
        return value

    return {
        "put": lambda key: store.put(key, value) and value,
        "put if": put_if_match,
        "boto3 put": lambda key: boto.put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=value) and value,
        "obstore put": lambda key: obstore.put(peer, key, value, use_multipart=False) and value,
    }


def rate(read: Read, keys: list[str], threads: int, seconds: float) -> tuple[float, float]:
    """Calls in one second, and microseconds of this process's processor time for one."""
    counts = [0] * threads
    deadline = time.perf_counter() + seconds

    def work(number: int) -> None:
        for key in itertools.cycle(keys[number::threads]):
            read(key)
            counts[number] += 1
            if time.perf_counter() > deadline:
                return

    began, spent = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    count = sum(counts)
    return count / (time.perf_counter() - began), (time.process_time() - spent) / count * 1e6


def measure(store: S3Store, kib: int, arguments: argparse.Namespace) -> list[dict[str, object]]:
    size = kib << 10
    value = os.urandom(size)
    keys = [f"c/{index}/{kib}" for index in range(OBJECTS)]
    store.put_many((key, value) for key in keys)
    reads = {
        "get_into": ours_into(store, size),
        "get": store.get,
        "boto3": boto3_get(store),
        "obstore": obstore_get(store),
    }
    written = [f"w/{key}" for key in keys]
    return [
        *compare(kib, reads, "obstore", keys, arguments),
        *compare(kib, writers(store, value), "obstore put", written, arguments),
    ]


def compare(
    kib: int, ways: dict[str, Read], peer: str, keys: list[str], arguments: argparse.Namespace
) -> list[dict[str, object]]:
    for way in ways.values():
        assert len(way(keys[0])) == kib << 10  # type: ignore[arg-type]
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, read in ways.items():
            seen[name].append(rate(read, keys, arguments.threads, arguments.seconds))
    rows: list[dict[str, object]] = []
    for name, results in seen.items():
        ratios = [ours[0] / theirs[0] for ours, theirs in zip(results, seen[peer], strict=True)]
        rows.append(
            {
                "KiB": kib,
                "way": name,
                "a second": round(statistics.median(r for r, _ in results)),
                "CPU us": round(statistics.median(c for _, c in results)),
                "of obstore": round(statistics.median(ratios), 2),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--server", default="versitygw", choices=s3_servers.SERVERS)
    parser.add_argument("--endpoint", help="a server that runs; keys in AWS_ACCESS_KEY_ID and so on")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one measurement")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        endpoint = arguments.endpoint
        if endpoint is None:
            endpoint = stack.enter_context(s3_servers.running(arguments.server))
            os.environ["AWS_ACCESS_KEY_ID"] = s3_servers.ACCESS_KEY
            os.environ["AWS_SECRET_ACCESS_KEY"] = s3_servers.SECRET_KEY
        bucket = f"benchmark-{uuid.uuid4().hex[:12]}"
        client_for(S3Config(endpoint)).boto.create_bucket(Bucket=bucket)
        store = S3Store(bucket, "a.zarr", S3Config(endpoint))
        rows = [row for kib in SIZES_KIB for row in measure(store, kib, arguments)]
        store.delete_prefix("")
    if arguments.json:
        print(json.dumps(rows))
        return
    print(f"{'KiB':>5} {'way':>11} {'a second':>8} {'CPU us':>7} {'of obstore':>11}")
    for row in rows:
        print(
            f"{row['KiB']:>5} {row['way']:>11} {row['a second']:>8} {row['CPU us']:>7} "
            f"{row['of obstore']:>11}"
        )


if __name__ == "__main__":
    main()
