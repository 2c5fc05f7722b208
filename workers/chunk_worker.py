"""The chunk worker as a service: settings from arguments or the environment, then run until told to stop.

    python workers/chunk_worker.py --broker kafka://broker:9092 --root /data --transforms my_transforms

or with nothing but the environment, as containers like it: STREAMZARR_BROKER, STREAMZARR_PREFIX,
STREAMZARR_ROOTS, STREAMZARR_TRANSFORMS, STREAMZARR_PROCESSES, STREAMZARR_THREADS, STREAMZARR_MAX_DEMAND.
It is ``streamzarr worker`` under another name.
"""

from streamzarr.cli.main import cli


def main() -> None:
    """Run the service; the arguments are those of ``streamzarr worker``."""
    import sys

    cli.main(["worker", *sys.argv[1:]], prog_name="chunk_worker.py")


if __name__ == "__main__":
    main()
