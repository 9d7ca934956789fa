"""Writes the corpus's goldens anew with the real tool: ``python -m tests.compose.regenerate``."""

from __future__ import annotations

import json
import sys

from tests.compose.reference import cases, document, reference_tool, run_reference


def main() -> int:
    """Write ``expected.json`` for every project; return an exit code."""
    if not reference_tool():
        print("no Compose 2.26 here; run scripts/ensure-compose", file=sys.stderr)
        return 1
    for case in cases():
        expected = document(run_reference(case, "--format", "json"))
        case.golden.write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(cases())} goldens written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
