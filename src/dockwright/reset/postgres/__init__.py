"""Resets PostgreSQL while it runs: databases from templates, shared rows from copies."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.reset.postgres.strategy import PostgresReset

__all__ = ["PostgresReset"]

__getattr__ = lazily(__name__, {"strategy": ("PostgresReset",)})
