"""The REST API at `/api/v1/`: the console's functions, for programs."""
