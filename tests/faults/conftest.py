from tests.pipeline.conftest import (  # noqa: F401  # the same workers and receivers
    account,
    local_urls,
    make_receiver,
    receiver,
    workers,
)
