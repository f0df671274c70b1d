"""``python -m jaxprune``."""

from jaxprune.cli.app import main

if __name__ == "__main__":
    main()
