"""``python -m streamzarr`` is the command line."""

from streamzarr.cli.main import main

main()
