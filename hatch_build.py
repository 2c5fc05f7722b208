"""Compiles the one extension when a wheel is built; without a compiler the wheel goes without it.

``STREAMZARR_REQUIRE_EXTENSIONS=1`` makes that an error, for who builds wheels for others.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("streamzarr/queue/kafka/_intake.c")
BUILT = SOURCE.with_suffix(".abi3.so")
"""For every CPython from 3.11 on: only its limited API is used."""


class ExtensionHook(BuildHookInterface[Any]):
    """Adds the extension to a wheel; an editable one finds it in the source folder."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and tell that the wheel is for this platform."""
        self._folder = tempfile.TemporaryDirectory()
        editable = version == "editable"
        built = Path(self.root if editable else self._folder.name, BUILT)
        try:
            built.parent.mkdir(parents=True, exist_ok=True)
            compile_extension(Path(self.root, SOURCE), built)
        except (OSError, subprocess.CalledProcessError) as error:
            if os.environ.get("STREAMZARR_REQUIRE_EXTENSIONS"):
                raise
            self.app.display_warning(f"{SOURCE} is left out, records of Kafka will take longer: {error}")
            return
        if not editable:
            build_data["force_include"][str(built)] = str(BUILT)
            build_data["pure_python"] = False
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"cp311-abi3-{platform}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what is in the wheel by now."""
        self._folder.cleanup()


def compile_extension(source: Path, built: Path) -> None:
    """Compile one file; its functions of librdkafka are found at run time.

    Raises
    ------
    OSError, subprocess.CalledProcessError
        There is no compiler, or it fails: for lack of Python's headers, say.
    """
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    shared = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    headers = f"-I{sysconfig.get_path('include')}"
    half = built.with_suffix(f".{os.getpid()}")  # whoever loads it meanwhile has the old one
    command = [*compiler, "-O2", "-fPIC", *shared, headers, str(source), "-o", str(half), "-pthread", "-ldl"]
    try:
        subprocess.run(command, check=True)  # noqa: S603 - the compiler that Python itself was made with, or CC
        half.replace(built)
    finally:
        half.unlink(missing_ok=True)
