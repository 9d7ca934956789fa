"""The shop's JSON API."""

import json
from typing import Any

import psycopg
import redis
from bottle import Bottle, HTTPError, request, response

from shop.trade import RefusedError, Shop


def make_app(shop: Shop) -> Bottle:
    """Return the WSGI application; every answer is JSON."""
    app = Bottle(autojson=False)
    app.install(_as_json)
    app.default_error_handler = _error
    _add_reading(app, shop)
    _add_changing(app, shop)
    return app


def _add_reading(app: Bottle, shop: Shop) -> None:
    app.get("/health", callback=shop.health)
    app.get("/products", callback=lambda: shop.products(request.query.get("category")))
    app.get("/products/<sku>", callback=shop.product)
    app.get("/accounts/<name>", callback=shop.account)
    app.get("/orders", callback=lambda: shop.orders(request.query.get("customer")))
    app.get("/orders/<number:int>", callback=shop.order)
    app.get("/statistics", callback=shop.statistics)
    app.get("/bestsellers", callback=shop.bestsellers)
    app.get("/carts/<customer>", callback=shop.cart)


def _add_changing(app: Bottle, shop: Shop) -> None:
    app.put(
        "/carts/<customer>/<sku>",
        callback=lambda customer, sku: shop.put_in_cart(customer, sku, _field("quantity", int)),
    )
    app.delete("/carts/<customer>", callback=shop.empty_cart)
    app.post(
        "/orders",
        callback=lambda: _created(shop.check_out(_field("customer", str), _field("note", str, ""))),
    )
    app.post("/orders/<number:int>/cancel", callback=shop.cancel)
    app.post(
        "/transfers",
        callback=lambda: _created(
            shop.transfer(_field("source", str), _field("target", str), _field("cents", int))
        ),
    )


def _error(error: HTTPError) -> str:
    """Answer in JSON also where no route matches, and when something breaks."""
    response.content_type = "application/json"
    return json.dumps({"error": error.body})


def _created(answer: Any) -> Any:
    response.status = 201
    return answer


def _field(name: str, kind: type, default: Any = None) -> Any:
    """Return one field of the request's JSON object."""
    try:
        document = json.load(request.body)
    except ValueError as exc:
        raise RefusedError(400, "the body is not JSON") from exc
    value = document.get(name, default) if isinstance(document, dict) else default
    if type(value) is not kind:  # an exact match: True is no quantity
        raise RefusedError(400, f"{name} must be given as {kind.__name__}")
    request.body.seek(0)
    return value


def _as_json(callback: Any) -> Any:
    def answer(*args: Any, **kwargs: Any) -> str:
        try:
            body = callback(*args, **kwargs)
        except RefusedError as exc:
            response.status, body = exc.status, {"error": str(exc)}
        except psycopg.DataError as exc:
            response.status, body = 400, {"error": str(exc)}
        except (psycopg.OperationalError, redis.RedisError) as exc:
            response.status, body = 503, {"error": f"{type(exc).__module__}: {exc}".strip()}
        response.content_type = "application/json"
        return json.dumps(body)

    return answer
