"""An import of 100,000 rows: time and memory, on SQLite or the database that DATABASE_URL names.

python benchmarks/datasets.py [rows]
"""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from core import ModelManager
from core.config import Settings


def main(n_rows: int) -> None:
    folder = Path(tempfile.mkdtemp())
    file = folder / "cases.csv"
    with file.open("w") as out:
        out.write("id;question;answer;topic;__expected\n")
        for n in range(n_rows):
            out.write(f'{n};"What is {n} times {n}? {"More words. " * 20}";{n * n};math;contains: {n * n}\n')
    url = os.environ.get("DATABASE_URL", f"sqlite:///{folder}/aimm.db")
    with ModelManager.open(Settings(database_url=url), takes_up=False) as mm:
        began = time.perf_counter()
        preview = mm.datasets.read(file, mapping={"answer": "expected", "topic": "tags"})
        read_s = time.perf_counter() - began
        version = mm.datasets.load(preview, "large")
        loaded_s = time.perf_counter() - began
        size = sum(map(len, mm.datasets.export("large")))
        exported_s = time.perf_counter() - began
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{version.n_rows:,} rows, {file.stat().st_size / 1e6:.0f} MB: read in {read_s:.1f} s, imported in {loaded_s:.1f} s"
    )
    print(f"exported {size / 1e6:.0f} MB in {exported_s - loaded_s:.1f} s; at most {most:.0f} MB of memory in all")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
