"""The feed worker as a service: a configuration file, then ingest until told to stop.

    python workers/feed_worker.py fx.toml --processes 3

or with the number of processes from the environment, as containers like it: STREAMZARR_PROCESSES. It is
``streamzarr ingest`` under another name.
"""

from streamzarr.cli.main import cli


def main() -> None:
    """Run the service; the arguments are those of ``streamzarr ingest``."""
    import sys

    cli.main(["ingest", *sys.argv[1:]], prog_name="feed_worker.py")


if __name__ == "__main__":
    main()
