"""Serves the shop on $PORT until it is told to end."""

import os
import signal
import sys
from pathlib import Path

import redis
import waitress

from shop.api import make_app
from shop.database import Database
from shop.trade import Shop


def main() -> None:
    # PID 1 ignores SIGTERM otherwise; on SystemExit waitress lets running requests finish.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    database = Database(os.environ["DATABASE_URL"])
    cache = redis.Redis.from_url(
        os.environ["CACHE_URL"], decode_responses=True, socket_timeout=2, socket_connect_timeout=2
    )
    for name in database.migrate(Path("migrations")):
        print(f"migrated: {name}", flush=True)
    shop = Shop(database, cache, cart_ttl_s=int(os.environ.get("CART_TTL_S", "900")))
    shop.bestsellers()
    port = int(os.environ.get("PORT", "8000"))
    print(f"the shop is open on port {port}", flush=True)
    waitress.serve(make_app(shop), host="0.0.0.0", port=port, threads=8, _quiet=True)
    print("the shop is closed", flush=True)


main()
