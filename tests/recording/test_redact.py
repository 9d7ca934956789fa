"""Secrets are taken out of texts, and what is harmless stays."""

from __future__ import annotations

import json

import pytest

from dockwright.model import Json
from dockwright.redact import Redactor, is_secret_name

SECRET = "s3cr3t/W0rd+x"  # with what URLs and JSON write in other ways


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("postgres://shop:hunter2@db:5432/shop", "postgres://shop:***@db:5432/shop"),
        ("redis://:hunter2@cache/0", "redis://:***@cache/0"),
        ("https://u:p@ss@host/x", "https://u:***@host/x"),
        ("amqp://u:pa/ss@mq:5672/", "amqp://u:***@mq:5672/"),
        ("https://0123456789abcdef0123@host/x", "https://***@host/x"),
        ("GET /x?token=abc123&page=2", "GET /x?token=***&page=2"),
        ("Authorization: Bearer abc.def-ghi123", "Authorization: Bearer ***"),
        ("curl -H 'Authorization: Basic dXNlcjpwYXNz'", "curl -H 'Authorization: Basic ***'"),
        ("POSTGRES_PASSWORD=x", "POSTGRES_PASSWORD=***"),
        ("env: DB_PASSWORD=hunter2 DEBUG=1", "env: DB_PASSWORD=*** DEBUG=1"),
        ('{"password": "hun\\"ter2", "user": "me"}', '{"password": "***", "user": "me"}'),
        ("{'apiKey': 'hunter2', 'n': 1}", "{'apiKey': '***', 'n': 1}"),
        ('log: "{\\"secret\\": \\"hunter2\\"}"', 'log: "{\\"secret\\": \\"***\\"}"'),
        ("password: hunter2", "password: ***"),
        ("spring.datasource.password=hunter2", "spring.datasource.password=***"),
        ("redis-cli --password hunter2 ping", "redis-cli --password *** ping"),
        ("ghp_0123456789abcdefghij0123456789", "***"),
        ("key AKIAIOSFODNN7EXAMPLE used", "key *** used"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_1", "***"),
        ("sk-abcdefghijklmnopqrstuv", "***"),
        (
            "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb",
            "a\n***\nb",
        ),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "***"),
    ],
)
def test_secrets_are_removed(text: str, redacted: str) -> None:
    assert Redactor()(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "tests/test_token.py::test_token[a] PASSED",
        "test_token.py:12: AssertionError",
        "http://127.0.0.1:49312/orders?page=2",
        "http://[::1]:8000/a:b@c",
        "see http://host:8000/x and mail me@example.com",
        "the tokenizer: fast",
        "docker exec -it dw-shop-1 sh",
        "the password was changed",
        "basic tests and bearer of news",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    assert Redactor()(text) == text


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"web  | started with {SECRET}!",
        "http://web/?q=s3cr3t%2FW0rd%2Bx",
        json.dumps({"said": SECRET}),
    ],
)
def test_a_known_secret_is_removed_everywhere(text: str) -> None:
    redact = Redactor.of({"SHOP_SECRET": SECRET, "HOME": "/home/me"})
    assert "s3cr3t" not in redact(text)
    assert redact("in /home/me") == "in /home/me"


def test_the_password_of_a_url_in_a_variable_is_known() -> None:
    redact = Redactor.of({"DATABASE_URL": "postgres://shop:t0p%2Dhat@db/shop"})
    assert redact("login of shop with t0p-hat failed") == "login of shop with *** failed"


def test_every_line_of_a_key_is_known() -> None:
    redact = Redactor.of({"TLS_PRIVATE_KEY": "first-line-0123\nsecond-line-0123\n"})
    assert redact("second-line-0123 was read") == "*** was read"


def test_a_common_word_as_password_does_not_mangle_text() -> None:
    redact = Redactor.of({"POSTGRES_PASSWORD": "postgres"})
    assert redact("postgres is ready") == "postgres is ready"
    assert redact("POSTGRES_PASSWORD=postgres") == "POSTGRES_PASSWORD=***"


def test_a_document_loses_its_secrets_and_keeps_its_shape() -> None:
    document: dict[str, Json] = {
        "password": "x",
        "url": "redis://:y@z/0",
        "n": [1, None, True, "pw=1"],
        "token": "",
    }
    assert Redactor().document(document) == {
        "password": "***",
        "url": "redis://:***@z/0",
        "n": [1, None, True, "pw=1"],
        "token": "",
    }


@pytest.mark.parametrize(
    "name", ["PGPASSWORD", "MYSQL_PWD", "SECRET_KEY", "STRIPE_KEY", "githubToken", "SENTRY_DSN"]
)
def test_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["PWD", "OLDPWD", "SSH_AUTH_SOCK", "HOME", "POSTGRES_PASSWORD_FILE", "KEYBOARD"]
)
def test_harmless_names(name: str) -> None:
    assert not is_secret_name(name)


def test_a_long_text_is_redacted_quickly() -> None:
    redact = Redactor.of({"SHOP_SECRET": SECRET})
    text = "password" + "a" * 50_000 + "secret" * 500 + " ://" * 500 + "-" * 25_000
    assert redact(text) == text
