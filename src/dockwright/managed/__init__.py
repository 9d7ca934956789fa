"""Long-lived stacks: install, check, status, update, back up, restore, uninstall."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.managed.archive.layout import GZIP, ZSTD, Manifest
    from dockwright.managed.archive.read import (
        Archive,
        archived_spec,
        open_archive,
        spec_part,
        verify,
    )
    from dockwright.managed.backup import BackupTarget, back_up
    from dockwright.managed.backup_progress import Progress, Step
    from dockwright.managed.check import (
        Finding,
        Status,
        check_configuration,
        check_stack,
        check_state,
        engine_findings,
        unusable,
    )
    from dockwright.managed.home import ConfigHome, InstalledSettings, config_base
    from dockwright.managed.images import get_images, image_id, noting_images, reference_of
    from dockwright.managed.install import InstallPlan, plan_install
    from dockwright.managed.journal import exclusive
    from dockwright.managed.long_lived import (
        bare_spec,
        file_options,
        has_data,
        identity_of,
        installed_stacks,
        locked_stack,
        long_lived_stack,
        started_stacks,
    )
    from dockwright.managed.restore import plan_restore, restore_stack
    from dockwright.managed.restore_undo import (
        ConfigFiles,
        archived_config,
        for_archived_spec,
        for_project,
        secret_values,
    )
    from dockwright.managed.status import Health, StatusSampler, UnitSample
    from dockwright.managed.uninstall import Scope, belongings, uninstall_stack
    from dockwright.managed.update import Change, orphans, preview, update_stack

__all__ = [
    "GZIP",
    "ZSTD",
    "Archive",
    "BackupTarget",
    "Change",
    "ConfigFiles",
    "ConfigHome",
    "Finding",
    "Health",
    "InstallPlan",
    "InstalledSettings",
    "Manifest",
    "Progress",
    "Scope",
    "Status",
    "StatusSampler",
    "Step",
    "UnitSample",
    "archived_config",
    "archived_spec",
    "back_up",
    "bare_spec",
    "belongings",
    "check_configuration",
    "check_stack",
    "check_state",
    "config_base",
    "engine_findings",
    "exclusive",
    "file_options",
    "for_archived_spec",
    "for_project",
    "get_images",
    "has_data",
    "identity_of",
    "image_id",
    "installed_stacks",
    "locked_stack",
    "long_lived_stack",
    "noting_images",
    "open_archive",
    "orphans",
    "plan_install",
    "plan_restore",
    "preview",
    "reference_of",
    "restore_stack",
    "secret_values",
    "spec_part",
    "started_stacks",
    "uninstall_stack",
    "unusable",
    "update_stack",
    "verify",
]

__getattr__ = lazily(
    __name__,
    {
        "archive.layout": (
            "GZIP",
            "Manifest",
            "ZSTD",
        ),
        "archive.read": (
            "Archive",
            "archived_spec",
            "open_archive",
            "spec_part",
            "verify",
        ),
        "backup": (
            "BackupTarget",
            "back_up",
        ),
        "backup_progress": (
            "Progress",
            "Step",
        ),
        "check": (
            "Finding",
            "Status",
            "check_configuration",
            "check_stack",
            "check_state",
            "engine_findings",
            "unusable",
        ),
        "home": (
            "ConfigHome",
            "InstalledSettings",
            "config_base",
        ),
        "images": (
            "get_images",
            "image_id",
            "noting_images",
            "reference_of",
        ),
        "install": (
            "InstallPlan",
            "plan_install",
        ),
        "journal": ("exclusive",),
        "long_lived": (
            "bare_spec",
            "file_options",
            "has_data",
            "identity_of",
            "installed_stacks",
            "locked_stack",
            "long_lived_stack",
            "started_stacks",
        ),
        "restore": (
            "plan_restore",
            "restore_stack",
        ),
        "restore_undo": (
            "ConfigFiles",
            "archived_config",
            "for_archived_spec",
            "for_project",
            "secret_values",
        ),
        "status": (
            "Health",
            "StatusSampler",
            "UnitSample",
        ),
        "uninstall": (
            "Scope",
            "belongings",
            "uninstall_stack",
        ),
        "update": (
            "Change",
            "orphans",
            "preview",
            "update_stack",
        ),
    },
)
