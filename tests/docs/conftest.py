from tests.pipeline.conftest import account  # noqa: F401  # committed, so that threads see it
