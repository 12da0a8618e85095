"""What the management commands share: the actor, error messages, output, and lookups."""

import json
import os
from collections.abc import Sequence
from typing import IO, Any, cast

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db import Error
from django.http import Http404
from rich.console import Console
from rich.table import Table

from metaaccess.accounts.account import Account
from metaaccess.devices.device import Device
from metaaccess.people.actor import COMMAND_LINE, acting_as
from metaaccess.servers.database import is_away


class Command(BaseCommand):
    """Acts as `command line`. Reports validation errors of the models as its own errors."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        _refuse_other_encodings(options)
        with acting_as(COMMAND_LINE):
            try:
                return super().execute(*args, **options)
            except ValidationError as error:
                raise CommandError(in_words(error)) from None
            except Http404 as gone:
                raise CommandError(str(gone)) from None
            except Error as error:
                if not is_away(error):
                    raise
                raise CommandError(away_in_words(error)) from None

    def print_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False))

    def print_rows(self, rows: Sequence[dict[str, Any]], as_json: bool, none: str) -> None:
        """Prints JSON or a table. `none`: the text to print instead of an empty table."""
        if as_json:
            self.print_json(rows)
            return
        if not rows:
            self.stdout.write(none)
            return
        table = Table(*(column.replace("_", " ") for column in rows[0]), box=None)
        for row in rows:
            table.add_row(*("" if value is None else str(value) for value in row.values()))
        # A pipe or a file limits no width, unless COLUMNS sets one.
        width = None if self.stdout.isatty() or "COLUMNS" in os.environ else 200
        Console(file=cast(IO[str], self.stdout), width=width).print(table)


class ListingCommand(Command):
    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print JSON for programs")


def _refuse_other_encodings(options: dict[str, Any]) -> None:
    """Python gives bytes of an argument that are not UTF-8 as surrogates, which can be written
    nowhere. The value may be a secret."""
    for name, value in options.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not text.isascii() and not _is_utf_8(text):
                raise CommandError(f"{name.replace('_', '-')} has bytes that are not UTF-8 text")


def _is_utf_8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def in_words(error: ValidationError) -> str:
    """One line per field, each with the field's name; or the messages alone."""
    if not hasattr(error, "error_dict"):
        return " ".join(error.messages)
    return "\n".join(
        f"{name.replace('__all__', 'error')}: {' '.join(messages)}"
        for name, messages in error.message_dict.items()
    )


def away_in_words(error: Exception) -> str:
    """One line on an error that `is_away`."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return f"PostgreSQL could not do this now: {reason}"


def find_account(named: str) -> Account:
    """Finds an account by name, then by ID, so that a name made of digits works too.

    Raises CommandError if there is none.
    """
    account = Account.objects.filter(name=named).first()
    if account is None and named.isdecimal() and len(named) < 19:
        account = Account.objects.filter(pk=int(named)).first()
    if account is None:
        raise CommandError(f"no account has the ID or the name {named!r}")
    return account


def find_device(device_id: str) -> Device:
    """Raises CommandError if there is none."""
    device = Device.objects.filter(device_id=device_id).first()
    if device is None:
        raise CommandError(f"no device has the ID {device_id!r}")
    return device
