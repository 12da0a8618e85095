import signal
from datetime import UTC, datetime
from typing import IO, Any, cast

from django.core.management.base import CommandError, CommandParser
from rich.console import Console
from rich.text import Text

from metaaccess.commands import Command as BaseCommand
from webhooks.configuration.validators import validate_api_key
from webhooks.operating.local_receiver import Behaviour, LocalReceiver, Received


class Command(BaseCommand):
    help = "Runs a local callback API that prints what it receives. Ctrl-C stops it."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=9000, help="the port on 127.0.0.1 (9000)")
        parser.add_argument(
            "--status", type=int, default=200, help="the HTTP status of responses (200)"
        )
        parser.add_argument(
            "--fail-first",
            type=int,
            default=0,
            metavar="N",
            help="answer 503 to the first N requests",
        )
        parser.add_argument(
            "--delay",
            type=float,
            default=0.0,
            metavar="S",
            help="wait S seconds before each response",
        )
        parser.add_argument("--api-key", help="answer 401 to requests without this key")

    def handle(self, *, port: int, status: int, delay: float, **options: Any) -> None:
        if not 200 <= status <= 599:
            raise CommandError(f"--status is {status}: use an HTTP status from 200 to 599")
        if not 0 <= delay < 1e9 or options["fail_first"] < 0:
            raise CommandError("--delay and --fail-first must not be negative")
        if options["api_key"] is not None:
            validate_api_key(options["api_key"])
        behaviour = Behaviour(
            status=status,
            fail_first=options["fail_first"],
            delay_s=delay,
            api_key=options["api_key"],
            on_received=self.show,
        )
        try:
            receiver = LocalReceiver(port, behaviour)
        except (OSError, OverflowError) as error:
            raise CommandError(f"cannot listen on port {port}: {error}") from None
        self.console = Console(file=cast(IO[str], self.stdout), soft_wrap=True)
        self.say(Text(f"Listening on {receiver.url}", style="bold"))
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            receiver.serve_forever(0.1)
        except KeyboardInterrupt:
            receiver.server_close()

    def show(self, received: Received) -> None:
        at = datetime.fromtimestamp(received.time, UTC)
        line = Text(f"{at:%H:%M:%S}.{at.microsecond // 1000:03} ", style="dim")
        line.append(f"{received.status} ", style="green" if received.status < 300 else "red")
        line.append(f"{received.reason}: " if received.reason else "")
        line.append(received.body.decode(errors="backslashreplace"))
        line.append(f"  Webhook-Id: {received.push_id}", style="dim")
        self.say(line)

    def say(self, line: Text) -> None:
        self.console.print(line)
        self.stdout.flush()
