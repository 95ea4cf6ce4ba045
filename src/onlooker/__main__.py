"""`python -m onlooker` is the command `onlooker`, for launchers such as `torchrun -m onlooker`."""

from onlooker.cli import main

if __name__ == "__main__":
    main()
