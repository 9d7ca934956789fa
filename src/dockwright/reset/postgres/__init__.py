"""Resets PostgreSQL while it runs: databases from templates, shared rows from copies."""

from dockwright.reset.postgres.strategy import PostgresReset

__all__ = ["PostgresReset"]
