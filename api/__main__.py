"""`python -m api`: what `aimm serve` starts."""

import argparse
import os
import sys
import tempfile

from api.serving import serve, serve_many
from core import AimmError, Settings
from core.telemetry.process_log import begin_log

MAX_WORKERS = 64


def main() -> int:
    parser = argparse.ArgumentParser(prog="aimm serve")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8501)
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    if not 1 <= args.workers <= MAX_WORKERS or not 0 <= args.port < 65_536:
        parser.error(f"--workers must be 1 to {MAX_WORKERS}, --port 0 to 65535")
    begin_log()
    # The figures of one process are written where the others read them.
    with tempfile.TemporaryDirectory(prefix="aimm-metrics-", ignore_cleanup_errors=True) as folder:
        if args.workers > 1:
            os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", folder)
        try:
            settings = Settings.load()
        except AimmError as error:
            sys.stderr.write(f"{error.message} {error.hint}".strip() + "\n")
            return 1
        if args.workers > 1:
            return serve_many(args.host, args.port, settings, args.workers)
        return serve(args.host, args.port, settings)


if __name__ == "__main__":
    sys.exit(main())
