"""``python -m tapegrad`` is the command line. Floor 14."""

from tapegrad.cli import main

if __name__ == "__main__":
    main()
