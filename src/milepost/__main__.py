"""``python -m milepost``."""

from milepost.cli.app import main

main()
