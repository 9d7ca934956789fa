"""Where the processes of a world begin: finds dockwright, in a Python without site-packages."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    from dockwright.isolate.inside.world import main

    main(sys.argv[1:])
