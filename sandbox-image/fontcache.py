"""Build matplotlib's font list once, into the folder given, so that no execution has to."""

import os
import sys

target = sys.argv[1]
os.makedirs(target, exist_ok=True)
os.environ["MPLCONFIGDIR"] = target

from matplotlib import font_manager  # noqa: E402  (the folder must be known before)

known = {entry.name for entry in font_manager.fontManager.ttflist}
missing = {"DejaVu Sans", "WenQuanYi Micro Hei", "Symbola", "Liberation Sans"} - known
if missing:
    sys.exit(f"fonts not found by matplotlib: {', '.join(sorted(missing))}")
