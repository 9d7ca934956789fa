-- The baseline that every test may rely on.
INSERT INTO products (sku, name, category, price_cents, stock) VALUES
    ('ALE-01', 'Pale ale, 6 bottles',   'drinks',   1290, 40),
    ('BRD-01', 'Rye bread',             'bakery',    420, 25),
    ('BUT-01', 'Salted butter',         'dairy',     350, 60),
    ('CHE-01', 'Mountain cheese',       'dairy',     890, 12),
    ('COF-01', 'Coffee beans, 1 kg',    'drinks',   1850, 30),
    ('HON-01', 'Forest honey',          'pantry',    780, 18),
    ('JAM-01', 'Plum jam',              'pantry',    460, 22),
    ('LAM-01', 'Oil lamp, last one',    'household', 4900, 1),
    ('SOA-01', 'Olive soap',            'household', 390, 80),
    ('TEA-01', 'Green tea',             'drinks',    640,  0);

INSERT INTO accounts (id, owner, balance_cents) VALUES
    ('alice', 'Alice Moreau', 10000),
    ('bob',   'Bob Tanaka',    5000),
    ('carol', 'Carol Okoye',    250),
    ('shop',  'The shop',     50000);

INSERT INTO orders (customer, total_cents, status) VALUES
    ('alice', 2550, 'paid'), ('bob', 1260, 'paid'), ('alice', 780, 'cancelled');

INSERT INTO order_lines (order_id, sku, quantity, price_cents) VALUES
    (1, 'COF-01', 1, 1850), (1, 'BUT-01', 2, 350), (2, 'BRD-01', 3, 420), (3, 'HON-01', 1, 780);

INSERT INTO transfers (source, target, cents) VALUES ('alice', 'shop', 2550), ('bob', 'shop', 1260);
