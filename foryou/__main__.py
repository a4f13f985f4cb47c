"""`python -m foryou`."""

from foryou.cli import main

if __name__ == "__main__":
    main()
