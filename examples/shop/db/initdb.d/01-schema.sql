-- What the shop keeps: products, accounts that pay and are paid, orders, transfers.
CREATE TABLE products (
    sku         text PRIMARY KEY,
    name        text NOT NULL,
    category    text NOT NULL,
    price_cents integer NOT NULL CHECK (price_cents > 0),
    stock       integer NOT NULL CHECK (stock >= 0)
);

CREATE TABLE accounts (
    id            text PRIMARY KEY,
    owner         text NOT NULL,
    balance_cents bigint NOT NULL CHECK (balance_cents >= 0)
);

CREATE TABLE orders (
    id          integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer    text NOT NULL REFERENCES accounts,
    total_cents bigint NOT NULL,
    status      text NOT NULL DEFAULT 'paid' CHECK (status IN ('paid', 'cancelled'))
);

CREATE TABLE order_lines (
    order_id    integer NOT NULL REFERENCES orders ON DELETE CASCADE,
    sku         text NOT NULL REFERENCES products,
    quantity    integer NOT NULL CHECK (quantity > 0),
    price_cents integer NOT NULL,
    PRIMARY KEY (order_id, sku)
);

CREATE TABLE transfers (
    id     integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL REFERENCES accounts,
    target text NOT NULL REFERENCES accounts,
    cents  bigint NOT NULL CHECK (cents > 0)
);
