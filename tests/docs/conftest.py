from tests.pipeline.conftest import account  # noqa: F401  # committed, as threads need it
