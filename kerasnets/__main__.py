"""`python -m kerasnets` is the `kerasnets` command."""

from kerasnets.cli.app import main

if __name__ == "__main__":
    main()
