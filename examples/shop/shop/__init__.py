"""A small shop: products, carts, orders and accounts behind a JSON API."""
