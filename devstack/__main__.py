"""The command line: `python -m devstack run` and `python -m devstack exec COMMAND…`."""

import argparse
import sys

from devstack import DevstackError
from devstack.running.execute import execute
from devstack.running.run import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m devstack")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("run", help="run the whole product until Ctrl-C")
    on_empty_servers = commands.add_parser(
        "exec", help="run a command on its own, empty PostgreSQL and Redis"
    )
    on_empty_servers.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")
    arguments = parser.parse_args()
    if arguments.command == "run":
        return run()
    if not arguments.words:
        on_empty_servers.error("COMMAND is required")
    try:
        return execute(arguments.words)
    except DevstackError as error:
        print(error, file=sys.stderr)
        return 1


sys.exit(main())
