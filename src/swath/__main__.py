"""Run the command line with ``python -m swath``."""

from swath.cli import main

if __name__ == "__main__":
    main()
