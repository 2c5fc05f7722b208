"""What importing the array layer, and using it, brings along."""

import subprocess
import sys

import pytest


def run(code):
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_importing_brings_no_codecs_and_no_clients():
    run(
        "import sys, streamzarr.zarr\n"
        "heavy = {'numcodecs', 'zstandard', 'boto3', 'reactivex', 'confluent_kafka'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )


def test_arrays_of_the_default_codec_need_no_numcodecs():
    run(
        "import sys, numpy, streamzarr.zarr as zarr\n"
        "z = zarr.create_array('memory://', data=numpy.arange(1000), chunks=100)\n"
        "assert zarr.open_array(z.store)[:].sum() == 499500\n"
        "assert 'numcodecs' not in sys.modules\n"
    )


@pytest.mark.parametrize(
    "options",
    ["compressors={'name': 'blosc'}", "zarr_format=2, compressors={'id': 'blosc', 'cname': 'lz4'}"],
)
def test_blosc_never_gets_threads_of_its_own(options):
    run(
        "import sys, numpy, streamzarr.zarr as zarr\n"
        f"z = zarr.create_array('memory://', data=numpy.arange(1000), chunks=100, {options})\n"
        "assert z[:].sum() == 499500\n"
        "assert sys.modules['numcodecs'].blosc.use_threads is False\n"
    )


def test_numcodecs_is_imported_as_a_whole_first():
    """Of two threads, one of which begins with a submodule, one gets a module that is half made."""
    run(
        "import builtins, numpy, streamzarr.zarr as zarr\n"
        "asked, load = [], builtins.__import__\n"
        "def note(name, *arguments, **options):\n"
        "    if name.startswith('numcodecs'): asked.append(name)\n"
        "    return load(name, *arguments, **options)\n"
        "builtins.__import__ = note\n"
        "zarr.create_array('memory://', data=numpy.array(['a', 'bc'], 'T'), chunks=2)\n"
        "assert asked[0] == 'numcodecs' and 'numcodecs.vlen' in asked, asked\n"
    )
