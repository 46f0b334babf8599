"""`python -m buurtsae`: the command line."""

from buurtsae.cli import main

main()
