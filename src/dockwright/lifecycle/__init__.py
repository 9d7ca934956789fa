"""The life of one long-lived stack: installed, checked, updated, backed up, removed."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.lifecycle.check import check_configuration, check_stack
    from dockwright.lifecycle.findings import (
        Finding,
        Status,
        check_state,
        engine_findings,
        unusable,
    )
    from dockwright.lifecycle.home import ConfigHome, InstalledSettings, config_base
    from dockwright.lifecycle.images import (
        ImageRecord,
        OwnImage,
        get_images,
        image_id,
        noting_images,
        reference_of,
    )
    from dockwright.lifecycle.install import InstallPlan, plan_install
    from dockwright.lifecycle.lock import exclusive
    from dockwright.lifecycle.longlived import (
        LONG_LIVED,
        bare_spec,
        has_data,
        identity_of,
        long_lived_stack,
    )

__all__ = [
    "LONG_LIVED",
    "ConfigHome",
    "Finding",
    "ImageRecord",
    "InstallPlan",
    "InstalledSettings",
    "OwnImage",
    "Status",
    "bare_spec",
    "check_configuration",
    "check_stack",
    "check_state",
    "config_base",
    "engine_findings",
    "exclusive",
    "get_images",
    "has_data",
    "identity_of",
    "image_id",
    "long_lived_stack",
    "noting_images",
    "plan_install",
    "reference_of",
    "unusable",
]

__getattr__ = lazily(
    __name__,
    {
        "check": ("check_configuration", "check_stack"),
        "findings": ("Finding", "Status", "check_state", "engine_findings", "unusable"),
        "home": ("ConfigHome", "InstalledSettings", "config_base"),
        "images": (
            "ImageRecord",
            "OwnImage",
            "get_images",
            "image_id",
            "noting_images",
            "reference_of",
        ),
        "install": ("InstallPlan", "plan_install"),
        "lock": ("exclusive",),
        "longlived": (
            "LONG_LIVED",
            "bare_spec",
            "has_data",
            "identity_of",
            "long_lived_stack",
        ),
    },
)
