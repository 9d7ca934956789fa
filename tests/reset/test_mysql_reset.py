"""MariaDB comes back to its baseline while it runs, whatever was done to it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from dockwright.errors import StackBrokenError, StackError
from dockwright.reset.mysql import MysqlReset
from dockwright.reset.mysql.session import Access
from tests._support.owned import Owned
from tests._support.reset.services import RealService, assert_same, start

pytestmark = pytest.mark.engine
IMAGE = "mariadb:10.11"
CHECK = "mariadb-admin ping -h 127.0.0.1 -uroot -proot --silent"
ENVIRONMENT = {"MARIADB_ROOT_PASSWORD": "root"}

SEED = """
CREATE DATABASE shop CHARACTER SET utf8mb4;
CREATE DATABASE `the other` CHARACTER SET latin1;
USE shop;
CREATE TABLE customers (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50) UNIQUE, photo BLOB,
  born DATE DEFAULT '0000-00-00', loud VARCHAR(60) AS (UPPER(name)) STORED);
INSERT INTO customers (name, photo) VALUES ('Ann', x'00FF0A27'), ('Bjørn', NULL), ('', '');
CREATE TABLE orders (id INT AUTO_INCREMENT PRIMARY KEY, customer INT NOT NULL, total DECIMAL(9,2),
  ordered TIMESTAMP NOT NULL, FOREIGN KEY (customer) REFERENCES customers (id) ON DELETE CASCADE);
INSERT INTO orders (customer, total, ordered) SELECT 1, seq, '2026-01-01' FROM seq_1_to_50;
CREATE TABLE noted (id INT PRIMARY KEY, note TEXT) ENGINE=Aria;
CREATE TABLE old_kind (a INT, FULLTEXT (b), b TEXT) ENGINE=MyISAM;
INSERT INTO old_kind VALUES (1, 'x');
CREATE TABLE watched (id INT PRIMARY KEY);
CREATE TRIGGER watching AFTER INSERT ON watched FOR EACH ROW
  INSERT INTO noted VALUES (NEW.id, CURRENT_USER());
INSERT INTO watched VALUES (1);
CREATE TABLE parts (id INT, at DATE) PARTITION BY HASH (id) PARTITIONS 3;
INSERT INTO parts VALUES (1, '2026-01-01'), (2, '2026-02-02');
CREATE SEQUENCE numbers START WITH 100;
SELECT NEXTVAL(numbers);
CREATE VIEW totals AS SELECT SUM(total) FROM orders;
DELIMITER //
CREATE PROCEDURE buy() BEGIN INSERT INTO orders VALUES (NULL, 1, 1, NOW()); END //
DELIMITER ;
CREATE FUNCTION twice(a INT) RETURNS INT DETERMINISTIC RETURN 2 * a;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01' DO DELETE FROM noted;
USE `the other`;
CREATE TABLE things (a INT);
INSERT INTO things VALUES (1);
CREATE USER app@'%' IDENTIFIED BY 'app';
CREATE USER bystander@localhost IDENTIFIED BY 'b';
CREATE ROLE reader;
GRANT SELECT ON shop.* TO reader;
GRANT reader TO app@'%';
GRANT INSERT (total) ON shop.orders TO app@'%';
GRANT EXECUTE ON PROCEDURE shop.buy TO app@'%';
SET GLOBAL max_allowed_packet = 8388608;
"""

CHANGES = """
USE shop;
DELETE FROM customers WHERE id = 1;
UPDATE customers SET name = 'changed', photo = 'x' WHERE id = 2;
INSERT INTO customers (name) VALUES ('new');
TRUNCATE old_kind;
INSERT INTO watched VALUES (2);
UPDATE noted SET note = 'x';
ALTER TABLE parts ADD COLUMN b INT;
SELECT NEXTVAL(numbers);
DROP VIEW totals;
DROP PROCEDURE buy;
DROP TRIGGER watching;
ALTER EVENT nightly DISABLE;
CREATE TABLE more (a INT);
CREATE FUNCTION thrice(a INT) RETURNS INT DETERMINISTIC RETURN 3 * a;
ALTER DATABASE shop CHARACTER SET latin1;
DROP DATABASE `the other`;
CREATE DATABASE a_third;
CREATE TABLE a_third.t (a INT);
DROP USER bystander@localhost;
CREATE USER intruder@'%';
GRANT ALL ON *.* TO intruder@'%';
ALTER USER app@'%' IDENTIFIED BY 'other';
REVOKE reader FROM app@'%';
DROP ROLE reader;
ALTER USER root@'%' IDENTIFIED BY 'other';
SET GLOBAL max_allowed_packet = 4194304;
SET GLOBAL sql_mode = '';
XA START 'doubt', 'b';
INSERT INTO shop.more VALUES (1);
XA END 'doubt', 'b';
XA PREPARE 'doubt', 'b';
"""


def sql(service: RealService, script: str) -> str:
    """Run a script in the container, as root through its socket."""
    return service.run(
        "bash", "-c", 'mariadb --default-character-set=utf8mb4 -uroot -proot -N <<< "$1"',
        "bash", script,
    )  # fmt: skip


def dump(service: RealService) -> str:
    """Return all that can be seen of the server."""
    users = "global_priv db tables_priv columns_priv procs_priv proxies_priv roles_mapping"
    return service.run(
        "bash",
        "-c",
        f"""
        login="-uroot -proot"
        schemas=$(mariadb $login -N -e 'SHOW DATABASES' \\
          | grep -Evx 'mysql|sys|.*_schema|dockwright' | sed 's/ /?/g')
        IFS=$'\\n'; set -f
        names=(${{schemas//'?'/' '}})
        unset IFS
        mariadb-dump $login --skip-comments --routines --events --triggers --hex-blob \\
          --databases "${{names[@]}}"
        mariadb-dump $login --skip-comments --no-create-info --order-by-primary mysql {users}
        mariadb $login -N -e "SHOW GLOBAL VARIABLES; XA RECOVER; SHOW GRANTS FOR app@'%'" \\
          | grep -Ev '^(gtid_|server_uid|.*timestamp|innodb_buffer_pool_(load|dump))'
        """,
    )


@pytest.fixture(scope="module")
def service(owned_by_module: Owned, way: str) -> RealService:
    service = start(owned_by_module, IMAGE, check=CHECK, env=ENVIRONMENT)
    sql(service, SEED)
    return service


@pytest.fixture(scope="module")
def strategy(service: RealService) -> Iterator[MysqlReset]:
    strategy = MysqlReset(service)
    try:
        strategy.capture()
        yield strategy
    finally:
        strategy.close()


def test_everything_that_a_test_can_reach_comes_back(
    service: RealService, strategy: MysqlReset
) -> None:
    before = dump(service)
    for _ in range(2):
        sql(service, CHANGES)
        assert strategy.reset()
        assert_same(before, dump(service))


def test_rows_of_all_kinds_of_tables_come_back(service: RealService, strategy: MysqlReset) -> None:
    before = dump(service)
    sql(
        service,
        "USE shop; DELETE FROM customers; INSERT INTO customers (name) VALUES ('x');"
        "DELETE FROM old_kind; DELETE FROM parts; REPLACE INTO noted VALUES (1, 'x')",
    )
    assert strategy.reset()
    assert_same(before, dump(service))


def test_a_lease_that_only_read_costs_nothing_and_keeps_connections(
    service: RealService, strategy: MysqlReset
) -> None:
    settle(strategy)
    application = Access.of(service).connect()
    application.rows("SELECT SUM(total) FROM shop.orders GROUP BY customer ORDER BY 1")
    assert not strategy.reset()
    application.rows("SELECT 1")
    application.close()


@pytest.mark.soak(sample=8)
@pytest.mark.parametrize(
    "change",
    [
        "UPDATE shop.orders SET total = 0 WHERE id = 7",
        "INSERT INTO shop.old_kind VALUES (2, 'y')",
        "BEGIN; INSERT INTO shop.orders VALUES (NULL, 1, 1, NOW()); ROLLBACK",
        "CALL shop.buy()",
        "ALTER TABLE shop.parts COMMENT 'x'",
        "CREATE USER somebody",
        "SET PASSWORD FOR app@'%' = PASSWORD('x')",
        "SELECT NEXTVAL(shop.numbers)",
        "CREATE DATABASE another",
        "SET GLOBAL max_connections = 77",
        "TRUNCATE shop.noted",
        "XA START 'x'; UPDATE shop.noted SET note = 'y'; XA END 'x'; XA PREPARE 'x'",
    ],
)
def test_the_smallest_change_is_noticed_and_undone(
    service: RealService, strategy: MysqlReset, change: str
) -> None:
    settle(strategy)
    before = dump(service)
    sql(service, change)
    assert strategy.reset()
    assert_same(before, dump(service))


def test_a_sequence_leaves_a_trace_after_each_reset(
    service: RealService, strategy: MysqlReset
) -> None:
    for _ in range(3):
        settle(strategy)
        assert sql(service, "SELECT NEXTVAL(shop.numbers)").strip() == "101"
        assert strategy.reset()


def test_open_transactions_and_locks_of_others_do_not_hold_a_reset_up(
    service: RealService, strategy: MysqlReset
) -> None:
    settle(strategy)
    writer = Access.of(service).connect()
    writer.rows("BEGIN")
    writer.rows("SELECT * FROM shop.orders FOR UPDATE")
    locker = Access.of(service).connect()
    locker.rows("LOCK TABLES shop.customers WRITE")
    waiter = Access.of(service).connect()
    waiter.rows("SELECT GET_LOCK('brief', 1)")
    strategy.curious = True
    assert strategy.reset()
    strategy.curious = False
    found = sorted(re.sub(r"connection \d+", "connection N", str(each)) for each in strategy.undone)
    assert found == [
        "lock brief (user lock, held by connection N)",
        "lock shop.customers (table metadata lock, held by connection N)",
        "lock shop.orders (table metadata lock, held by connection N)",  # by its foreign key
        "transaction (left open by connection N)",
    ]
    for session in (writer, locker, waiter):
        with pytest.raises(StackError):
            session.rows("SELECT 1")
        session.close()
    assert sql(service, "SELECT COUNT(*) FROM shop.customers").strip() == "3"


def test_a_restarted_server_is_reset(service: RealService, strategy: MysqlReset) -> None:
    settle(strategy)
    sql(service, "SET GLOBAL max_allowed_packet = 16777216")  # as the restart will make it
    strategy.capture()
    before = dump(service)
    sql(service, "DELETE FROM shop.orders")
    service.engine.restart_container(service.container(), 10)
    service.await_ready()
    assert strategy.reset()
    assert_same(before, dump(service))


def test_without_our_copies_the_stack_is_broken(service: RealService, strategy: MysqlReset) -> None:
    sql(service, "DROP DATABASE dockwright; DELETE FROM shop.parts")
    with pytest.raises(StackBrokenError, match="service db: cannot be reset in place: "):
        strategy.reset()
    strategy.capture()


def test_an_unknown_password_is_reported_at_the_baseline(owned: Owned, way: str) -> None:
    service = start(owned, IMAGE, check=CHECK, env=ENVIRONMENT)
    sql(
        service,
        "ALTER USER root@'%' IDENTIFIED BY 'x'; ALTER USER root@localhost IDENTIFIED BY 'x'",
    )
    with pytest.raises(StackError, match="Access denied"):
        MysqlReset(service).capture()


def settle(strategy: MysqlReset) -> None:
    """Reset until there is nothing to do: what ran before may still be noticed."""
    for _ in range(5):
        if not strategy.reset():
            return
        time.sleep(0.15)  # InnoDB shows its transactions anew after 0.1 s in which nobody asked
    pytest.fail("there is always something to reset")


@pytest.mark.parametrize(
    ("change", "traces"),
    [
        (
            "UPDATE shop.customers SET name = 'x' WHERE id = 1",
            ["table shop.customers (rows changed)"],
        ),
        ("DELETE FROM shop.orders WHERE id < 3", ["table shop.orders (2 rows deleted)"]),
        ("CREATE DATABASE another", ["schema another (added)"]),
        ("CREATE TABLE shop.fresh (a INT)", ["schema shop (changed)"]),
        ("SELECT NEXTVAL(shop.numbers)", ["sequence shop.numbers (advanced)"]),
        ("SET GLOBAL max_connections = 77", ["setting max_connections (changed)"]),
        ("SELECT * FROM shop.orders", []),
        (
            "XA START 'two'; DELETE FROM shop.orders; XA END 'two'; XA PREPARE 'two'",
            ["prepared transaction two"],
        ),
        ("SELECT GET_LOCK('brief', 1)", []),
        ("START TRANSACTION; DELETE FROM shop.orders; ROLLBACK", []),
        ("CREATE TEMPORARY TABLE shop.gone (a INT)", []),
    ],
)
def test_a_reset_says_what_it_undid(
    service: RealService, strategy: MysqlReset, change: str, traces: list[str]
) -> None:
    settle(strategy)
    strategy.curious = True
    sql(service, change)
    assert not (traces and strategy.untouched())
    strategy.reset()
    assert list(map(str, strategy.undone)) == traces
    strategy.curious = False
