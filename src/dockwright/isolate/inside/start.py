"""Where the processes of a world begin: finds dockwright, in a Python without site-packages."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[3]))
    from dockwright.isolate.inside.plan import AS_ROOT, SWEEP

    level, *words = sys.argv[1:]
    if level == AS_ROOT:
        from dockwright.isolate.inside.users import become_root

        try:
            become_root(words)
        except OSError as failure:
            sys.exit(failure.strerror)
    elif level == SWEEP:
        from dockwright.isolate.inside.keeper import sweep

        sys.stdout.write("\n".join(sweep(Path(words[0]))))
    else:
        from dockwright.isolate.inside.world import main

        main(sys.argv[1:])
