"""The properties of test_fuzz.py under a fuzzer that is guided by coverage.

python -m tests.security.fuzz -max_total_time=60            # each in turn
python -m tests.security.fuzz a_url_is_taken_apart -runs=0  # those of that name, without end
"""

import os
import subprocess
import sys

PACKAGES = [
    "webhooks.configuration.addresses",
    "webhooks.configuration.validators",
    "webhooks.sending.http_client",
    "webhooks.sending.payload",
    "urllib3",
]
# Without fixtures: those that talk to a listener are left to hypothesis.
TARGETS = (
    "a_url_is_taken_apart_or_refused",
    "what_is_accepted_is_no_address_of_our_inside",
    "a_key_is_sent_as_it_was_entered_or_refused",
    "a_header_is_whole_or_refused",
    "a_signing_secret_is_accepted_or_refused",
    "a_body_is_json_of_one_line",
)


def fuzz(target: str, options: list[str]) -> None:
    import atheris  # noqa: PLC0415  # it is built for a few systems alone

    with atheris.instrument_imports(include=PACKAGES):
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings.test")
        import django  # noqa: PLC0415

        django.setup()
        from tests.security import test_fuzz  # noqa: PLC0415
    one_input = getattr(test_fuzz, f"test_{target}").hypothesis.fuzz_one_input
    atheris.Setup([sys.argv[0], *options], one_input)
    atheris.Fuzz()


def main() -> int:
    options = [word for word in sys.argv[1:] if word.startswith("-")]
    wanted = [word for word in sys.argv[1:] if not word.startswith("-")]
    targets = [name for name in TARGETS if not wanted or any(word in name for word in wanted)]
    if not targets:
        print(f"no target is named so; there are: {', '.join(TARGETS)}", file=sys.stderr)  # noqa: T201
        return 2
    if len(targets) == 1:
        fuzz(targets[0], options)
        return 0
    # A fuzzer ends its process.
    return max(
        subprocess.run(
            [sys.executable, "-m", __spec__.name, name, *options], check=False
        ).returncode
        for name in targets
    )


if __name__ == "__main__":
    sys.exit(main())
