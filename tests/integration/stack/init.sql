CREATE TABLE accounts (name text PRIMARY KEY, cents int NOT NULL CHECK (cents >= 0));
INSERT INTO accounts VALUES ('alice', 10000), ('bob', 5000), ('carol', 250);
CREATE TABLE payments (id serial PRIMARY KEY, payer text REFERENCES accounts, cents int);
