"""`python -m devstack run`."""

import argparse
import sys

from devstack.run import run

parser = argparse.ArgumentParser(prog="python -m devstack")
parser.add_argument("command", choices=["run"], help="run: the whole product, until Ctrl-C")
parser.parse_args()
sys.exit(run())
