"""Tests of the product, and what they share."""

import os
import sys

# Where it is set, each of the many processes that tests start would compile every module anew: over a second.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
