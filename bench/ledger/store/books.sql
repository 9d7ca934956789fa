CREATE ROLE clerk LOGIN PASSWORD 'ledger';
CREATE DATABASE books OWNER clerk;
\connect books
SET ROLE clerk;
CREATE SCHEMA ledger;
CREATE TABLE ledger.entries (id serial PRIMARY KEY, account text NOT NULL, amount numeric NOT NULL);
INSERT INTO ledger.entries (account, amount) SELECT 'account ' || n % 40, n FROM generate_series(1, 2000) n;
CREATE INDEX ON ledger.entries (account);
