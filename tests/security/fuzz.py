"""Runs the properties of test_fuzz.py under a coverage-guided fuzzer.

python -m tests.security.fuzz -max_total_time=60            # all properties, one after another
python -m tests.security.fuzz a_url_is_parsed -runs=0        # those whose name contains the word
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
# Only properties without fixtures. Hypothesis runs those that need a listener.
TARGETS = (
    "a_url_is_parsed_or_refused",
    "an_accepted_url_never_leads_to_our_network",
    "a_key_is_sent_as_it_was_entered_or_refused",
    "a_header_is_whole_or_refused",
    "a_signing_secret_is_accepted_or_refused",
    "a_body_is_json_of_one_line",
)


def fuzz(target: str, options: list[str]) -> None:
    import atheris  # noqa: PLC0415  # only a few platforms have a build of it

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
        print(f"no target has such a name; targets: {', '.join(TARGETS)}", file=sys.stderr)  # noqa: T201
        return 2
    if len(targets) == 1:
        fuzz(targets[0], options)
        return 0
    # The fuzzer exits its process, so each target needs one of its own.
    return max(
        subprocess.run(
            [sys.executable, "-m", __spec__.name, name, *options], check=False
        ).returncode
        for name in targets
    )


if __name__ == "__main__":
    sys.exit(main())
