"""`python -m rankstill`."""

from rankstill.cli import main

main()
