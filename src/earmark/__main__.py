"""`python -m earmark` runs the `earmark` command; torchrun needs this form."""

from earmark.cli.main import main

if __name__ == "__main__":
    main()
