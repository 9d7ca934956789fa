"""Everything about the files below a directory of a container, for comparing."""

from __future__ import annotations

import json
from typing import Any

from dockwright.stack import Stack

_LOOK = r"""
import hashlib, json, os, stat, sys
links, tree = {}, {}
def look(path, name):
    status = os.lstat(path)
    kind = stat.S_IFMT(status.st_mode)
    facts = {"mode": oct(status.st_mode), "owner": [status.st_uid, status.st_gid]}
    facts["xattrs"] = {
        each: os.getxattr(path, each, follow_symlinks=False).hex()
        for each in os.listxattr(path, follow_symlinks=False)
    }
    if kind == stat.S_IFREG:
        facts["size"], facts["mtime"] = status.st_size, int(status.st_mtime)
        facts["content"] = hashlib.sha256(open(path, "rb").read()).hexdigest()
        if status.st_nlink > 1:
            facts["same as"] = links.setdefault((status.st_dev, status.st_ino), name)
    elif kind == stat.S_IFLNK:
        facts["target"] = os.readlink(path)
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        facts["device"] = status.st_rdev
    tree[name] = facts
    if kind == stat.S_IFDIR:
        for each in sorted(os.listdir(path)):
            look(os.path.join(path, each), name + "/" + each)
for root in sys.argv[1:]:
    look(root, root)
print(json.dumps(tree))
"""


def tree(stack: Stack, service: str, *directories: str) -> dict[str, Any]:
    """Return type, mode, owner, attributes, links and content of all files, by path.

    The service's image needs Python.
    """
    result = stack.exec(service, ["python3", "-c", _LOOK, *directories])
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found
