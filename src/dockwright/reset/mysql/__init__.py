"""Resets MySQL and MariaDB while they run."""

from dockwright.reset.mysql.strategy import MysqlReset

__all__ = ["MysqlReset"]
