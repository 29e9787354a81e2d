"""``python -m titlebout``."""

from titlebout.cli.main import main

if __name__ == "__main__":
    main()
