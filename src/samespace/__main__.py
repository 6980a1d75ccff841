"""``python -m samespace`` is the command line."""

from samespace.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
