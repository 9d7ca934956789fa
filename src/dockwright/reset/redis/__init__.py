"""Resets Redis, Valkey and KeyDB while they run."""

from dockwright.reset.redis.strategy import RedisReset

__all__ = ["RedisReset"]
