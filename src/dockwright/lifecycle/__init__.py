"""The life of one long-lived stack: installed, checked, updated, backed up, removed."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.lifecycle.archive_codec import GZIP, ZSTD
    from dockwright.lifecycle.archive_read import Archive, open_archive
    from dockwright.lifecycle.backup import BackupTarget, back_up
    from dockwright.lifecycle.backup_progress import Progress, Step
    from dockwright.lifecycle.check import check_configuration, check_stack
    from dockwright.lifecycle.findings import (
        Finding,
        Status,
        check_state,
        engine_findings,
        unusable,
    )
    from dockwright.lifecycle.health import Health
    from dockwright.lifecycle.home import ConfigHome, InstalledSettings, config_base
    from dockwright.lifecycle.images import (
        get_images,
        image_id,
        noting_images,
        reference_of,
    )
    from dockwright.lifecycle.install import InstallPlan, plan_install
    from dockwright.lifecycle.known import installed_stacks, started_stacks
    from dockwright.lifecycle.lock import exclusive
    from dockwright.lifecycle.longlived import (
        bare_spec,
        has_data,
        identity_of,
        long_lived_stack,
    )
    from dockwright.lifecycle.manifest import Manifest
    from dockwright.lifecycle.origins import file_options
    from dockwright.lifecycle.restore import plan_restore, restore_stack
    from dockwright.lifecycle.restore_config import (
        ConfigFiles,
        archived_config,
        for_archived_spec,
        for_project,
        secret_values,
    )
    from dockwright.lifecycle.restore_verify import archived_spec, spec_part, verify
    from dockwright.lifecycle.status import Looker, UnitLook
    from dockwright.lifecycle.turn import changing
    from dockwright.lifecycle.uninstall import Scope, belongings, uninstall_stack
    from dockwright.lifecycle.update import (
        Change,
        orphans,
        preview,
        update_stack,
    )

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
    "Looker",
    "Manifest",
    "Progress",
    "Scope",
    "Status",
    "Step",
    "UnitLook",
    "archived_config",
    "archived_spec",
    "back_up",
    "bare_spec",
    "belongings",
    "changing",
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
        "restore_config": (
            "ConfigFiles",
            "archived_config",
            "for_archived_spec",
            "for_project",
            "secret_values",
        ),
        "origins": ("file_options",),
        "restore": ("plan_restore", "restore_stack"),
        "restore_verify": ("archived_spec", "spec_part", "verify"),
        "archive_read": ("Archive", "open_archive"),
        "manifest": ("Manifest",),
        "backup_progress": ("Progress", "Step"),
        "backup": ("BackupTarget", "back_up"),
        "archive_codec": ("GZIP", "ZSTD"),
        "check": ("check_configuration", "check_stack"),
        "findings": ("Finding", "Status", "check_state", "engine_findings", "unusable"),
        "health": ("Health",),
        "home": ("ConfigHome", "InstalledSettings", "config_base"),
        "images": (
            "get_images",
            "image_id",
            "noting_images",
            "reference_of",
        ),
        "install": ("InstallPlan", "plan_install"),
        "known": ("installed_stacks", "started_stacks"),
        "lock": ("exclusive",),
        "longlived": (
            "bare_spec",
            "has_data",
            "identity_of",
            "long_lived_stack",
        ),
        "status": ("Looker", "UnitLook"),
        "turn": ("changing",),
        "uninstall": ("Scope", "belongings", "uninstall_stack"),
        "update": ("Change", "orphans", "preview", "update_stack"),
    },
)
